"""Figures that flowinfra promises, measured beside the peers in one run; see README.md. Nothing here fails a test."""

"""Helpers of the tests that are no fixtures; `from support...` finds them (see pythonpath in pyproject.toml)."""

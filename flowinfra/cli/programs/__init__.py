"""Programs: what processes do that a Python program has started through :mod:`flowinfra.control.child`."""

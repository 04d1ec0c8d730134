"""A module that raises while it is imported."""


def load():
    """Look for what is not there."""
    return {}["prices"]


PRICES = load()

from __future__ import annotations

import getpass

from flowinfra.packaging.users import user_name


def test_a_name_that_is_given_goes_before_the_systems() -> None:
    """FLOWINFRA_USER is for machines where everybody is called the same; an empty one counts as none."""
    assert user_name({"FLOWINFRA_USER": " ada "}) == "ada"
    assert user_name({"FLOWINFRA_USER": "  "}) == user_name({}) == getpass.getuser()

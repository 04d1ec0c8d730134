"""Who works here: the name under which what someone did is recorded. It is no credential."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from typing import Final

__all__ = ["ENV_USER", "user_name"]

#: Environment variable that names the user where the system's name means nobody, such as ``root`` in a container.
ENV_USER: Final = "FLOWINFRA_USER"


def user_name(environ: Mapping[str, str] | None = None) -> str:
    """The user's name: ``FLOWINFRA_USER``, else the system's; the number of a user that has no name."""
    given = (os.environ if environ is None else environ).get(ENV_USER, "").strip()
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())

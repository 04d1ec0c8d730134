"""Who works here: the name under which what someone did is recorded. It is no credential."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["ENV_CONFIG_HOME", "ENV_USER", "config_folder", "user_name"]

#: Environment variable that names the user where the system's name means nobody, such as ``root`` in a container.
ENV_USER: Final = "FLOWINFRA_USER"

#: Environment variable that names the folder with what a user keeps for all projects.
ENV_CONFIG_HOME: Final = "FLOWINFRA_CONFIG_HOME"


def user_name(environ: Mapping[str, str] | None = None) -> str:
    """The user's name: ``FLOWINFRA_USER``, else the system's; the number of a user that has no name."""
    given = (os.environ if environ is None else environ).get(ENV_USER, "").strip()
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


def config_folder(environ: Mapping[str, str] | None = None) -> Path:
    """What a user keeps for all projects: ``FLOWINFRA_CONFIG_HOME``, else ``flowinfra/`` in ``XDG_CONFIG_HOME``.

    Where neither is set it is ``~/.config/flowinfra``. The folder may not be there.
    """
    env = os.environ if environ is None else environ
    given = env.get(ENV_CONFIG_HOME)
    if given:
        return Path(given).expanduser().absolute()
    return Path(env.get("XDG_CONFIG_HOME") or "~/.config").expanduser().absolute() / "flowinfra"

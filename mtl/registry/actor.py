"""Who does what is entered."""

from __future__ import annotations

import getpass
import os
import socket


def actor() -> str:
    """Who does what is entered: this process's user and machine, as the system has them; and MTL_ACTOR, which anybody may
    say, beside it.
    """
    said = os.environ.get("MTL_ACTOR")
    return f"{_user()}@{socket.gethostname()}" + (f" ({said[:100]})" if said else "")


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except ImportError:  # Windows
        return getpass.getuser()
    except KeyError:  # in a container, perhaps
        return f"uid {os.geteuid()}"

"""Passwords that are none: words of examples, short ones, one for two doors.

`python -m flows.stack.passwords NAME …` looks at these variables of the environment (exit code 1: a word why).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from mtl.errors import ConfigError

SHORTEST = 12
EXAMPLES = (
    "change",
    "password",
    "passwd",
    "secret",
    "example",
    "default",
    "admin",
    "minio",
    "123456",
    "qwert",
    "letmein",
)
"""A password with one of these in it, once signs are left out, was copied from an example; a random one has none."""
FIX = 'another random text for each: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def refuse_weak(passwords: Mapping[str, str]) -> None:
    """Refuse passwords that others can guess; the message has names, never values.

    Args:
        passwords: name of the variable -> its value; of `user:password`, what is behind the colon counts.

    Raises:
        ConfigError: one is short, an example's, or another's too; all are named.
    """
    values = {name: value.rpartition(":")[2] for name, value in passwords.items()}
    found = [f"{name} {reason}" for name, value in values.items() if (reason := _weakness(value))]
    names = list(values)
    found += [
        f"{name} is the same as {other}"
        for at, name in enumerate(names)
        for other in names[:at]
        if values[name] and values[name] == values[other]
    ]
    if found:
        raise ConfigError("passwords that others can guess", found="; ".join(found), fix=FIX)


def _weakness(value: str) -> str:
    if len(value) < SHORTEST:
        return f"has {len(value)} characters, of {SHORTEST} at least" if value else "is empty"
    letters = "".join(letter for letter in value.casefold() if letter.isalnum())
    if any(word in letters for word in EXAMPLES):
        return "is an example's"
    return "repeats a few characters" if len(set(value)) < 6 else ""


if __name__ == "__main__":
    try:
        refuse_weak({name: os.environ.get(name, "") for name in sys.argv[1:]})
    except ConfigError as error:
        sys.exit(f"error: {error}")

"""What people report of the tools, lived through with the real ones. `make daily` runs all of it."""

from __future__ import annotations

import pytest


def situation(words: str) -> pytest.MarkDecorator:
    """The mark of a test that lives through one, in a few plain words."""
    return pytest.mark.daily(situation=words)

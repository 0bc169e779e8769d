"""A release is of one version: the tag's, pyproject.toml's and CHANGELOG.md's."""

from __future__ import annotations

import pytest

from tools.release import notes

LOG = "# Changelog\n\n## 0.3.0 (unreleased)\n\n- New.\n\n## 0.2.0 (2026-11-27)\n\n- Old.\n- Older.\n\n## 0.1.0\n\n"


def test_notes_are_what_the_changelog_says_of_the_version() -> None:
    assert notes("v0.2.0", "0.2.0", LOG) == "- Old.\n- Older.\n"


@pytest.mark.parametrize(
    ("tag", "version", "why"),
    [
        ("v0.2.1", "0.2.0", "not the version"),
        ("v0.3.0", "0.3.0", "unreleased"),
        ("v0.1.0", "0.1.0", "nothing"),
        ("v0.4.0", "0.4.0", "nothing"),
    ],
)
def test_what_does_not_agree_is_not_released(tag: str, version: str, why: str) -> None:
    with pytest.raises(SystemExit, match=why):
        notes(tag, version, LOG)

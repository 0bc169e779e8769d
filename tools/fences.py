"""Fences of the how-tos for the site: what a test does with a block stands behind its language, and becomes its title.

A Python-Markdown extension, named in zensical.toml. `python check` is Python; `python mtl/x.py` a file; `edit mtl/x.py` a change of one:
what stands there, a line of three dashes, and what takes its place.
"""

from __future__ import annotations

import re
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

_FENCE = re.compile(r"^```(python|yaml|edit) (\S+)$")


class Titles(Preprocessor):
    """Before the fences are read."""

    def run(self, lines: list[str]) -> list[str]:
        return [_FENCE.sub(_head, line) for line in lines]


def _head(found: re.Match[str]) -> str:
    language, name = found.groups()
    if name in ("check", "params"):
        title = {"check": "what must hold afterwards", "params": "params.yaml"}[name]
    else:
        title = name if language == "python" else f"{name}: what stands above the dashes becomes what stands below"
    return f'```{"python" if language == "edit" else language} title="{title}"'


class Fences(Extension):
    """As Python-Markdown finds it."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.preprocessors.register(Titles(md), "titles_of_fences", 60)  # superfences reads them at 25


def makeExtension(**options: Any) -> Fences:  # noqa: N802
    """As Python-Markdown asks for it."""
    return Fences(**options)

"""The commands that README and docs name: `mtl …`, `make …` and `python -m …` in fences and in text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name not in ("decisions", "reference")),
]
"""Pages for readers of today: a decision keeps the words of its day, and the reference is made of the commands themselves."""
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`([^`]+)`")
_SHELL = ("sh", "bash", "console", "")
_PROGRAMS = ("mtl", "make")


@dataclass(frozen=True)
class Command:
    """A command as a page has it."""

    page: str
    words: tuple[str, ...]
    whole: bool
    """It stands in a fence, to be typed; in text, arguments may be left out."""

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def commands() -> list[Command]:
    """All commands of all pages, each once per page."""
    return list(dict.fromkeys(command for path in PAGES for command in of_page(path)))


def of_page(path: Path) -> Iterator[Command]:
    text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    for language, block in _FENCE.findall(text):
        if language in _SHELL:
            for words in _typed(block):
                yield Command(name, words, whole=True)
    for code in _INLINE.findall(_FENCE.sub("", text)):
        for words in _typed(" ".join(code.split())):
            yield Command(name, words, whole=False)


def other_programs() -> set[str]:
    """What fences of a shell call besides: a program, or one with its first word where that is a command of its own."""
    found: set[str] = set()
    for path in PAGES:
        for language, block in _FENCE.findall(path.read_text(encoding="utf-8")):
            if language == "sh":
                text = block.replace("\\\n", " ")
                found |= {
                    " ".join(words).strip() for words in re.findall(r"(?:^|&& )([a-z]\w*)(?: ([a-z]\w+) )?", text, re.M)
                }
    return {name for name in found if name.split()[0] not in (*_PROGRAMS, "python")}


def _typed(text: str) -> Iterator[tuple[str, ...]]:
    """The commands of a shell's text, without what stands around them."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in _split(line):
            words = _without_gaps(part)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words and words[0].removeprefix(".venv/bin/") in _PROGRAMS:
                yield (words[0].removeprefix(".venv/bin/"), *words[1:])
            elif (
                words[:2] == ["python", "-m"] and words[2:] and words[2].startswith(("tests.", "benchmarks.", "tools."))
            ):
                yield tuple(words)


def _without_gaps(words: list[str]) -> list[str]:
    """Without what a page leaves to its reader (`…`): an option keeps a value, and a setting goes with its option."""
    found: list[str] = []
    for word in words:
        if "…" not in word:
            found.append(word)
        elif found and found[-1] == "--set":
            found.pop()
        elif found and found[-1].startswith("--") and found[-1] != "--unverified":
            found.append("1")
    return found


def _split(line: str) -> Iterator[list[str]]:
    """The words of each command of a line; a comment ends it. What may be left out, in brackets, is there."""
    if not re.match(r"\s*(\S+=\S* )*(mtl|make|\.venv/bin/mtl|python) ", line + " "):
        return
    bare = re.sub(r"(?<=\s)\[([^\]=:{]*)\]", r"\1", line)
    lexer = shlex.shlex(bare, posix=True, punctuation_chars="&;|")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in lexer:
        if re.fullmatch(r"[&;|]+", word):
            yield words
            words = []
        else:
            words.append(word)
    yield words

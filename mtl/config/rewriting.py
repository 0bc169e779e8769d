"""params.yaml moved forward as text: comments, order and quotes stay, and what changed is shown before it is written."""

from __future__ import annotations

import difflib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.config.params import parse
from mtl.config.reading import read_params
from mtl.config.upgrades import Note, upgrade
from mtl.errors import ConfigError


@dataclass(frozen=True)
class Rewritten:
    """A file as it is, and as it would be."""

    path: Path
    before: str
    after: str
    notes: tuple[Note, ...]

    @property
    def diff(self) -> str:
        """What would change, as `diff -u` says it."""
        lines = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(*lines, fromfile=self.path.name, tofile=f"{self.path.name}, moved forward"))


def rewritten(path: Path, written_for: str | None = None) -> Rewritten:
    """An older params.yaml moved forward; nothing is written.

    Raises:
        ConfigError: it is no YAML; something in it only its user can decide; or it would not be valid afterwards, either.
    """
    read_params(path)  # refuses what is none
    before = path.read_text(encoding="utf-8")
    yaml, values = _loaded(before)
    notes = upgrade(values, written_for)
    if refused := [note for note in notes if note.refused]:
        lines = "\n".join(f"  - {note}" for note in refused)
        raise ConfigError(
            f"{path.name} has what nobody but you can decide:\n{lines}", fix="change it by hand; nothing was written"
        )
    after = before
    if notes:
        text = io.StringIO()
        yaml.dump(values, text)
        after = text.getvalue()
    parse(_loaded(after)[1], where=f"{path.name}, moved forward")
    return Rewritten(path, before, after, tuple(notes))


def _loaded(text: str) -> tuple[Any, Any]:
    """A reader that writes as the file is written, and what it read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    _, indent, offset = load_yaml_guess_indent(text)
    yaml = YAML()  # keeps order and comments
    yaml.preserve_quotes = True  # pyright: ignore[reportAttributeAccessIssue]
    yaml.width = 10_000  # pyright: ignore[reportAttributeAccessIssue]
    yaml.representer.add_representer(type(None), _null)
    yaml.indent(mapping=2, sequence=indent or 4, offset=offset if offset is not None else 2)
    return yaml, yaml.load(text)


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")

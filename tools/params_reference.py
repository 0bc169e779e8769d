"""docs/params.md from the sections' own descriptions: `python -m tools.params_reference > docs/params.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic_core import PydanticUndefined

from mtl.config.choices import first_sentence
from mtl.config.params import Config
from mtl.config.section import Section


def page() -> str:
    """The page, in Markdown."""
    lines = ["# params.yaml", "", "Made by `make docs` from the settings' own descriptions.", ""]
    for name, field in Config.model_fields.items():
        lines += [f"## `{name}`", ""]
        if name == "seed":
            lines += ["A whole number: the seed of everything random.", ""]
        for section in _sections(field.annotation):
            lines += _table(section)
    return "\n".join(lines).rstrip() + "\n"


def _table(section: type[Section]) -> list[str]:
    lines = [
        f"**{section.__name__}**: {first_sentence(section)}",
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    for key, field in section.model_fields.items():
        default = "required" if field.default is PydanticUndefined else f"`{field.default!r}`"
        literal = [repr(v) for v in get_args(field.annotation) if isinstance(v, str | int)]
        meaning = field.description or ("one of " + ", ".join(literal) if literal else "")
        lines.append(f"| `{key}` | {default} | {meaning} |")
    return [*lines, ""]


def _sections(annotation: object) -> Iterator[type[Section]]:
    """The sections that an annotation holds, each followed by those inside it."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _sections(field.annotation)
        return
    for member in get_args(annotation):
        yield from _sections(member)


if __name__ == "__main__":
    print(page(), end="")

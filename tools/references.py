"""The pages of docs/ that are made from code and settings: `python -m tools.references` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mtl.config.schema import schema
from tools import commands_reference, params_reference, python_reference

ROOT = Path(__file__).parents[1]
MADE: dict[str, Callable[[], str]] = {
    "docs/params.md": params_reference.page,
    "docs/params.schema.json": schema,
    "docs/reference/commands.md": commands_reference.page,
    "docs/reference/python.md": python_reference.page,
}
"""File → what is in it."""


if __name__ == "__main__":
    for name, make in MADE.items():
        (ROOT / name).write_text(make(), encoding="utf-8")

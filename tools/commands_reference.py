"""docs/reference/commands.md: every command of `mtl`, its arguments and options, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_group

from flows.cli import app


def page() -> str:
    """The page, in Markdown."""
    root = get_group(app)
    found = list(commands(root))
    lines = [
        "# Commands",
        "",
        "Made by `make docs` from the commands themselves; `mtl COMMAND --help` says the same.",
        "",
    ]
    for panel in dict.fromkeys(_panel(command) for _, command in found):
        lines += [*([f"**{panel}**", ""] if panel else []), "| command | |", "| --- | --- |"]
        for name, command in found:
            if _panel(command) == panel:
                lines.append(f"| [`mtl {name}`](#{_anchor(name)}) | {_cell(_help(command))} |")
        lines.append("")
    lines += ["Before a command:", "", *_table(root)]
    for name, command in found:
        lines += [f"## `mtl {name}` {{#{_anchor(name)}}}", "", _help(command), "", *_table(command)]
    return "\n".join(lines).rstrip() + "\n"


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words behind `mtl`."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _table(command: Any) -> list[str]:
    rows: list[str] = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            names = parameter.metavar or parameter.name.upper()
            if not parameter.required:
                names = f"[{names}]"
        else:
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        several = " …" if parameter.multiple or parameter.nargs == -1 else ""
        default = "" if isinstance(parameter.default, bool) else str(parameter.default or "")
        said = f" (default: `{default}`)" if default else ""
        rows.append(f"| `{names}{several}` | {_cell((parameter.help or '') + said)} |")
    return ["| argument, option | |", "| --- | --- |", *rows, ""] if rows else []


def _help(command: Any) -> str:
    """What a command says of itself, in one line."""
    return " ".join((command.help or "").split())


def _cell(text: str) -> str:
    """Text that ends no cell and is no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _panel(command: Any) -> str:
    """The group under which `mtl --help` lists a command."""
    panel = getattr(command, "rich_help_panel", "")
    return panel if isinstance(panel, str) else ""


def _anchor(name: str) -> str:
    return "mtl-" + name.replace(" ", "-")


if __name__ == "__main__":
    print(page(), end="")

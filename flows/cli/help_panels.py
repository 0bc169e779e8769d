"""What `mtl --help` shows: the commands by what a person does, most used first."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

PANELS = {
    "Run": ("retrain", "status", "monitor", "approve", "doctor", "new", "upgrade-params"),
    "Data": ("data",),
    "Versions": ("history", "promote", "rollback", "lineage", "diff", "reproduce"),
    "Serve": ("predict", "endpoint", "shadow", "package"),
    "Operate": (
        *("serve", "ui", "deploy", "stack", "metrics", "registry"),
        *("backup", "restore", "clean", "keys", "adopt", "mend", "relocate"),
    ),
    "Research": ("list", "compare", "baselines"),
}
LAST = "Operate"
"""Where a command is shown that is not named above, and says nothing else itself."""


class ByPurpose(TyperGroup):
    """A group that shows its commands by PANELS."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        panels = {name: panel for panel, names in PANELS.items() for name in names}
        for name, command in self.commands.items():
            shown: Any = command  # Typer's own kinds
            shown.rich_help_panel = panels.get(name) or getattr(shown, "rich_help_panel", None) or LAST

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of PANELS, by which they are drawn."""
        order = [name for names in PANELS.values() for name in names]
        return sorted(self.commands, key=lambda name: order.index(name) if name in order else len(order))

"""What an editor needs to complete and check params.yaml, from the settings: docs/params.schema.json, and in a project."""

from __future__ import annotations

import json
from typing import Any

from mtl.config.params import Config

_NAMES = ("properties", "$defs")
"""Keys of a schema whose own keys are names: of settings, of sections."""


def schema() -> str:
    """The JSON Schema of params.yaml, as text.

    No section is required: files that `--set @FILE` names have some of them, and what a whole params.yaml lacks a command says.
    """
    made = _without_titles(Config.model_json_schema())
    del made["required"]
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "params.yaml"} | made
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    """Without the titles that pydantic makes of names: they say a name again, and are half of the lines."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key in _NAMES:
            found[key] = {name: _without_titles(item) for name, item in value.items()}
        elif key not in ("title", "discriminator"):
            found[key] = _without_titles(value)
    return found

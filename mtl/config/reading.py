"""params.yaml and `--set` as a tree of plain values, not yet checked."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl.config.yaml_text import explain_yaml, refuse_bomb
from mtl.errors import ConfigError


def read_params(path: Path) -> dict[str, Any]:
    """Read a params file with the YAML reader that DVC uses (1e-3 is a number there).

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = _read_text(path)
    try:
        refuse_bomb(text)
        values = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError) as error:  # of numbers and dates that are none, too
        found, fix = explain_yaml(text, error)
        raise ConfigError(f"{path} is not valid YAML", found=found, fix=fix) from error
    if not isinstance(values, dict):
        found = "it is empty" if values is None else type(values).__name__
        raise ConfigError(
            f"{path} must hold sections with keys", found=found, fix=f"git checkout {path.name} restores it"
        )
    return values


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing", found="no such file", fix="correct the path; git checkout restores what was committed"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8",
            found=f"byte {error.object[error.start]:#04x} at place {error.start}",
            fix="save it as UTF-8 (an editor's “save with encoding”)",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read", found=error.strerror or str(error), fix="let it be a file that this user may read"
        ) from error


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set `a.b.c=value` in a tree, in place; the value is YAML. `a.0` is an item of a list. `@FILE` puts the sections
    of another file in the place of those here.

    Raises:
        ConfigError: an override that has no `=`, whose value is no YAML, or that names a file, an item of a list, or by
            a slip a section, that is not there. A section that is at its default is made; whether it may be, `parse`
            says.
    """
    for override in overrides:
        if override.startswith("@"):
            values.update(read_params(Path(override[1:])))
            continue
        path, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"--set {override}", found="no '='", fix="write --set train.epochs=2")
        node: Any = values
        *sections, last = path.split(".")
        for depth, key in enumerate(sections):
            if isinstance(node, dict) and key not in node and not difflib.get_close_matches(key, node):
                node[key] = {}
            node = node[_place(override, node, key, ".".join(sections[: depth + 1]))]
        if not isinstance(node, dict):
            last = _place(override, node, last, path)
        node[last] = _yaml_value(override, text)


def _place(override: str, node: Any, key: str, path: str) -> Any:
    """Where in a section or list a key is."""
    keys = range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ()
    options = [str(found) for found in keys]
    if key not in options:
        near = difflib.get_close_matches(key, options, n=1)
        raise ConfigError(
            f"--set {override}: no key {path!r} in params.yaml",
            found=f"keys here: {', '.join(options) or 'none, this is a value'}",
            fix=f"did you mean {near[0]!r}?" if near else "",
        )
    return int(key) if isinstance(node, list) else key


def _yaml_value(override: str, text: str) -> Any:
    """What stands behind an override's `=`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        fix = "close brackets and quotes, and keep the shell's hands off them: --set 'a.b={type: x}'"
        raise ConfigError(
            f"--set {override}: the value is no YAML", found=str(getattr(error, "problem", error)), fix=fix
        ) from error

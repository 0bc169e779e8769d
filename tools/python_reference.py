"""docs/reference/python.md: what users and extensions import, from its own docstrings."""

from __future__ import annotations

from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
SHOWN: dict[str, tuple[str, ...]] = {
    "Using a version": ("mtl.package.predictor.Predictor", "mtl.package.pyfunc.MultiTaskPyfunc"),
    "Settings": ("mtl.config.params.load", "mtl.config.params.parse", "mtl.config.choices.choices"),
    "Data of one's own": (
        "mtl.data.onboard.propose.propose",
        "mtl.data.onboard.proposal.Proposal",
        "mtl.data.spec.TargetSpec",
    ),
    "A task type": ("mtl.tasks.base.Task", "mtl.tasks.base.Scorer", "mtl.tasks.base.ImageSpec"),
    "A weighting, an aggregator": (
        "mtl.objective.weighting.base.Weighting",
        "mtl.objective.aggregator.GramianAggregator",
        "mtl.objective.aggregator.JacobianAggregator",
    ),
    "A sharing": (
        "mtl.model.sharing.base.MultiTaskModel",
        "mtl.model.sharing.base.BehindNeck",
        "mtl.model.sharing.base.HeadPlan",
    ),
    "Gate and monitor": ("mtl.gate.decide", "mtl.gate.relative_gains", "mtl.monitor.drift.compare"),
    "Storage and checkpoints": ("mtl.storage.store.Store", "mtl.train.checkpoint.Checkpoints"),
    "Errors": ("mtl.errors.MtlError",),
}
"""Heading → dotted names, in the order of the page."""


def page() -> str:
    """The page, in Markdown."""
    lines = [
        "# Python",
        "",
        "Made by `make docs` from docstrings: what users import, and what extensions inherit from.",
        "",
    ]
    for heading, names in SHOWN.items():
        lines += [f"## {heading}", ""]
        for name in names:
            lines += _entry(name)
    return "\n".join(lines).rstrip() + "\n"


def _entry(path: str) -> list[str]:
    module, name = path.rsplit(".", 1)
    found = _module(module)[name]
    lines = [f"### {name}", "", *_code(f"from {module} import {name}")]
    if isinstance(found, griffe.Function):
        return lines + _function(found)
    assert isinstance(found, griffe.Class)
    lines += _docstring(found)
    for member in found.members.values():
        if isinstance(member, griffe.Function) and member.is_public and not member.is_special and member.docstring:
            lines += [f"#### {name}.{member.name}", "", *_function(member)]
    return lines


def _module(name: str) -> griffe.Module:
    """A module of this project, from its source alone: nothing is imported."""
    base = ROOT.joinpath(*name.split("."))
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return griffe.visit(name, filepath=path, code=path.read_text(encoding="utf-8"), docstring_parser="google")


def _function(found: griffe.Function) -> list[str]:
    return [*_code(_signature(found)), *_docstring(found)]


def _signature(found: griffe.Function) -> str:
    """As in the source, on a line per parameter where it is long."""
    line = f"def {found.signature()}"
    if len(line) <= 88:
        return line
    head, _, rest = line.partition("(")
    inside, _, end = rest.rpartition(")")
    return f"{head}(\n" + "".join(f"    {part},\n" for part in _parts(inside)) + f"){end}"


def _parts(inside: str) -> list[str]:
    """Parameters, cut at commas that stand in no brackets."""
    parts, depth, begun = [], 0, 0
    for at, letter in enumerate(inside):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(inside[begun:at].strip())
            begun = at + 1
    return [*parts, inside[begun:].strip()]


def _docstring(found: griffe.Object) -> list[str]:
    lines: list[str] = []
    for section in found.docstring.parsed if found.docstring else []:
        if section.kind is griffe.DocstringSectionKind.text:
            lines += [str(section.value), ""]
        elif section.kind in (griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes):
            lines += [*(f"- `{item.name}`: {_line(item.description)}" for item in section.value), ""]
        elif section.kind is griffe.DocstringSectionKind.raises:
            lines += [*(f"- raises `{item.annotation}`: {_line(item.description)}" for item in section.value), ""]
        elif section.kind is griffe.DocstringSectionKind.returns:
            lines += [*(f"- returns {_line(item.description)}" for item in section.value), ""]
    return lines


def _line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> list[str]:
    return ["```py", text, "```", ""]


if __name__ == "__main__":
    print(page(), end="")

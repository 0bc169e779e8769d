"""Label Studio's JSON and JSON-MIN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtl.data.formats.documents import text
from mtl.data.formats.label_studio_regions import said
from mtl.data.formats.label_studio_tasks import is_label_studio, mention_of, picture_key, tasks_of
from mtl.data.onboard.documents import Kind, drawn, overlapping
from mtl.data.onboard.look import Finding, Look, identifier
from mtl.errors import DataError


@dataclass
class Control:
    """What a control says of whole pictures: numbers or names; how many at most of one picture; how often, and how many
    different ones; whether they were written, not chosen.
    """

    numbers: bool = True
    most: int = 0
    times: int = 0
    names: set[str] = field(default_factory=set[str])
    written: bool = False

    @property
    def kind(self) -> str:
        """As a column has it; nothing if it is free text, in which most answers are different ones."""
        if self.numbers:
            return "value"
        if self.written and 2 * len(self.names) > self.times:
            return ""
        return "label" if self.most <= 1 else "labels"


@dataclass
class Summary:
    """Pictures; regions, those of them with an outline; controls of whole pictures."""

    pictures: frozenset[str] = frozenset()
    regions: int = 0
    outlined: int = 0
    controls: dict[str, Control] = field(default_factory=dict[str, Control])


def _summary(document: Any) -> Summary:
    tasks = tasks_of(document)
    key = picture_key(tasks)
    named = {value for task in tasks if isinstance(value := mention_of(text(task.data.get(key))), str) and value}
    found = Summary(frozenset(named))
    for annotation in (annotation for task in tasks for annotation in task.annotations):
        try:
            one = said(annotation.results, Counter())
        except DataError:
            continue
        found.regions += len(one.objects)
        found.outlined += sum(bool(shape.polygons or shape.mask) for _, shape in one.objects)
        for name, answer in one.answers.items():
            if name == key:
                continue
            control = found.controls.setdefault(name, Control())
            names = answer if isinstance(answer, list) else []
            control.numbers &= not isinstance(answer, list)
            control.most, control.times = max(control.most, len(names)), control.times + 1
            control.names.update(names)
            control.written |= name in one.texts
    return found


def _findings(look: Look, documents: Mapping[str, Summary]) -> Iterator[Finding]:
    evidence = frozenset(documents)
    empty = [name for name, summary in documents.items() if not summary.pictures]
    twice = overlapping({name: summary.pictures for name, summary in documents.items()})
    if empty:
        yield Finding("label_studio", evidence=evidence, fault=f"{empty[0]}: no task has a picture")
    elif twice:
        fault = f"{twice[0][0]} and {twice[0][1]} are exports of the same tasks: keep the newest"
        yield Finding("label_studio", evidence=evidence, fault=fault)
    else:
        seen = [*documents.values()]
        settings = drawn(look.tree.path, "label_studio", sum(s.outlined for s in seen), sum(s.regions for s in seen))
        settings |= {"annotations": next(iter(documents))} if len(documents) == 1 else {}
        controls = {name: control for summary in seen for name, control in summary.controls.items()}
        targets = {
            identifier(name): {"column": name, "kind": control.kind}
            for name, control in controls.items()
            if control.kind
        }
        facts = tuple(f"{name} is free text: not read" for name, control in controls.items() if not control.kind)
        settings |= {"targets": targets} if targets else {}
        yield Finding("label_studio", {"images": settings}, evidence, facts)


LABEL_STUDIO = Kind("label_studio", is_label_studio, _summary, _findings)

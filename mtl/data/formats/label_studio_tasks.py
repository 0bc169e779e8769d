"""Label Studio's exports as tasks: JSON has annotations of results, JSON-MIN a row per annotation whose columns are controls."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mtl.data.formats.documents import identity, items, section, text
from mtl.data.formats.text import plain
from mtl.storage.file_tree import IMAGES

ROW = ("annotation_id", "annotator", "lead_time")
"""Columns of JSON-MIN, one of which every version of it has."""
ABOUT = frozenset([*ROW, "id", "created_at", "updated_at", "agreement", "history"])
"""Columns of JSON-MIN that are no data and no control."""

Result = dict[str, object]


@dataclass
class Annotation:
    """What one person said: results, and whether it is the truth that others are measured by."""

    results: list[Result]
    when: str = ""
    is_truth: bool = False


@dataclass
class Task:
    """What is to be labelled, and by how many it was; skipped: how many looked at it and said nothing."""

    known: str
    data: dict[str, object]
    annotations: list[Annotation]
    skipped: int = 0
    predictions: int = 0


def is_label_studio(document: object) -> bool:
    """Whether a JSON document is an export of Label Studio."""
    if not isinstance(document, list) or not document:
        return False
    return all(isinstance(item, dict) and (_is_task(item) or _is_row(item)) for item in document[:8])


def _is_task(item: Result) -> bool:
    lists = ("annotations", "completions", "predictions")
    return isinstance(item.get("data"), dict) and any(isinstance(item.get(key), list) for key in lists)


def _is_row(item: Result) -> bool:
    return "id" in item and any(key in item for key in ROW)


def tasks_of(document: list[Any]) -> list[Task]:
    """All tasks; items that are none are left out."""
    found: dict[str, Task] = {}
    for place, item in enumerate(document):
        if not isinstance(item, dict):
            continue
        known = identity(item.get("id")) or f"number {place}"
        if _is_task(item):
            found[f"{known}, {place}"] = _task(known, item)
        elif _is_row(item):
            task = found.setdefault(known, Task(known, item, []))
            task.annotations.append(Annotation(_row_results(item), text(item.get("updated_at"))))
    return [*found.values()]


def _task(known: str, item: Result) -> Task:
    given = items(item, "annotations") or items(item, "completions")
    kept = [one for one in given if not (one.get("was_cancelled") is True or one.get("skipped") is True)]
    annotations = [
        Annotation(
            items(one, "result"),
            text(one.get("updated_at")) or text(one.get("created_at")),
            one.get("ground_truth") is True,
        )
        for one in kept
    ]
    return Task(known, section(item, "data"), annotations, len(given) - len(kept), len(items(item, "predictions")))


def _row_results(row: Result) -> list[Result]:
    """The results that a row of JSON-MIN stands for: it has their values, with the picture's size in each."""
    found: list[Result] = []
    for control, cell in row.items():
        if control in ABOUT:
            continue
        for value in cell if isinstance(cell, list) else [cell]:
            if isinstance(value, dict):
                sizes = {key: value.get(key) for key in ("original_width", "original_height")}
                found.append({"from_name": control, "value": value, **sizes})
            elif isinstance(value, str):  # one choice; a number is of the data, for a control's is in a list
                found.append({"from_name": control, "value": {"text": [plain(value)]}})
    return found


def picture_key(tasks: Iterable[Task]) -> str:
    """The key of the data that names pictures; nothing if none does."""
    counts = Counter(key for task in tasks for key, value in task.data.items() if is_picture(value))
    return counts.most_common(1)[0][0] if counts else ""


def is_picture(value: object) -> bool:
    """Whether a text names a picture, or holds one."""
    if not isinstance(value, str):
        return False
    if value.startswith("data:image/"):
        return True
    mention = mention_of(value)
    return isinstance(mention, str) and mention.lower().endswith(IMAGES)


def mention_of(value: str) -> str | bytes:
    """The file that an address means; or the bytes that it holds, nothing if they are damaged."""
    if value.startswith("data:image/"):
        try:
            return base64.b64decode(value.partition(",")[2], validate=True)
        except (binascii.Error, ValueError):
            return b""
    try:
        parts = urlsplit(value)
        query = parse_qs(parts.query)
    except ValueError:  # brackets, as of a wrong IPv6 address
        return value
    if query.get("d"):  # /data/local-files/?d=folder/a.jpg
        return query["d"][0]
    if query.get("fileuri"):  # /tasks/1/presign/?fileuri=…, in base64
        try:
            return base64.b64decode(query["fileuri"][0]).decode()
        except (binascii.Error, ValueError):
            return value
    if parts.scheme or value.startswith("/"):
        return f"{parts.scheme}://{parts.netloc}{parts.path}" if len(parts.scheme) > 1 else parts.path
    return value

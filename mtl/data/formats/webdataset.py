"""WebDataset: tar files whose members of one key are one sample, grouped by the webdataset library."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from mtl.config import DataError
from mtl.config.files import Column, WebDatasetSet
from mtl.data.formats.base import Entry, Problem, Reading, split_of
from mtl.data.formats.table import column_spec, labels_of, number
from mtl.data.place import IMAGES, Place
from mtl.data.spec import TargetSpec


def read_webdataset(settings: WebDatasetSet, place: Place) -> Reading:
    """A sample a key; the id is the key.

    Raises:
        DataError: there is no tar file.
    """
    files = place.names(suffixes=(".tar", ".tar.gz", ".tgz"))
    if not files:
        raise DataError(f"{place.path} has no tar file", fix="name the folder that holds the shards")
    samples = [(file, sample) for file in files for sample in samples_of(place.read(file), file)]
    texts = {t: [_text(sample, c) for _, sample in samples] for t, c in settings.targets.items()}
    specs = {t: column_spec(c, texts[t]) for t, c in settings.targets.items()}
    entries: list[Entry] = []
    problems: list[Problem] = []
    for number_, (file, sample) in enumerate(samples):
        key = sample["__key__"]
        image = next((value for name, value in sample.items() if f".{name.lower()}" in IMAGES), None)
        if image is None:
            problems.append(Problem(key, f"{file}: no image among {sorted(k for k in sample if k[0] != '_')}"))
            continue
        try:
            targets = {t: _target(sample, c, texts[t][number_], specs[t]) for t, c in settings.targets.items()}
        except DataError as error:
            problems.append(Problem.of(key, error, file))
            continue
        stem = file.rsplit("/", 1)[-1].split("-")[0].split(".")[0]
        entries.append(Entry(key, image, {t: v for t, v in targets.items() if v is not None}, split=split_of(stem)))
    return Reading(specs, entries, problems)


def samples_of(data: bytes, file: str) -> list[dict[str, Any]]:
    """The samples of a tar file's bytes: `__key__`, and the members' bytes by extension.

    Raises:
        DataError: it is no tar file, or damaged.
    """
    from webdataset.tariterators import group_by_keys

    def members() -> Any:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                if member.isfile():
                    content = tar.extractfile(member)
                    assert content is not None
                    yield {"fname": member.name, "data": content.read(), "__url__": file}

    try:
        return list(group_by_keys(members()))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error


def _text(sample: dict[str, Any], column: Column) -> str:
    """What a member says, as a table's cell would."""
    if column.kind in ("mask", "depth"):
        return ""
    if column.column.startswith("json:"):
        try:
            value = json.loads(sample.get("json", b"{}")).get(column.column.removeprefix("json:"))
        except (ValueError, AttributeError):
            return ""
        if isinstance(value, list):
            return column.separator.join(str(v) for v in value)
        return "" if value is None else str(value)
    return sample.get(column.column, b"").decode("utf-8", "replace").strip()


def _target(sample: dict[str, Any], column: Column, text: str, spec: TargetSpec) -> Any:
    if column.kind in ("mask", "depth"):
        return sample.get(column.column)
    if not text:
        return None
    if column.kind == "value":
        return number(text, column.column)
    if column.kind == "label" and text not in spec.classes and text.isdecimal() and int(text) < len(spec.classes):
        return int(text)  # the class's index, as the cls member has it
    return labels_of(text, column, spec)

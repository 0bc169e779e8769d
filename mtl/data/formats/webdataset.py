"""WebDataset: tar files whose members of one key are one sample, grouped by the webdataset library.

Images stay in their tar where it can be read in parts; a compressed one, one in an archive or on a web server cannot.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from mtl.config import DataError
from mtl.config.files import Column, WebDatasetSet
from mtl.data.formats.base import Entry, Problem, Reading, split_of
from mtl.data.formats.table import column_spec, labels_of, number
from mtl.data.members import Member, refuse_cut_off
from mtl.data.place import IMAGES, MAX_FILE_BYTES, Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec
from mtl.digest import bytes_sha256


class Content(NamedTuple):
    """What a member holds, or where it is, and the SHA-256 of it."""

    value: bytes | FileRef
    sha256: str


def read_webdataset(settings: WebDatasetSet, place: Place) -> Reading:
    """A sample a key; the id is the key.

    Raises:
        DataError: there is no tar file.
    """
    files = place.names(suffixes=(".tar", ".tar.gz", ".tgz"))
    if not files:
        raise DataError(f"{place.path} has no tar file", fix="name the folder that holds the shards")
    samples = [(file, sample) for file in files for sample in samples_of(place, file)]
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
        found: dict[str, Any] = {}
        digests = {"image": image.sha256}
        try:
            for target, column in settings.targets.items():
                if column.kind in ("mask", "depth") and column.column in sample:
                    found[target], digests[target] = sample[column.column]
                elif texts[target][number_]:
                    found[target] = _target(column, texts[target][number_], specs[target])
        except DataError as error:
            problems.append(Problem.of(key, error, file))
            continue
        stem = file.rsplit("/", 1)[-1].split("-")[0].split(".")[0]
        entries.append(Entry(key, image.value, found, split=split_of(stem), digests=digests))
    return Reading(specs, entries, problems)


def samples_of(place: Place, file: str) -> Iterator[dict[str, Any]]:
    """The samples of a tar file: `__key__`, and the members' Content by extension.

    Raises:
        DataError: it is no tar file, or damaged.
    """
    from webdataset.tariterators import group_by_keys

    try:
        with place.opened(file) as stream:
            yield from group_by_keys(_members(stream, file, stays=place.has_parts and file.endswith(".tar")))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error


def _members(stream: Any, file: str, *, stays: bool) -> Iterator[dict[str, Any]]:
    """As the library's own iterator gives them.

    Args:
        stays: images need not be kept in memory: they are read where they are.
    """
    with tarfile.open(fileobj=stream) as tar:
        stays = stays and tar.fileobj is stream  # else it is compressed, whatever its name says
        for member in tar:
            if not member.isfile():
                continue
            if member.size > MAX_FILE_BYTES:
                raise DataError(f"{member.name} of {file} is too large", found=f"{member.size} bytes")
            content = tar.extractfile(member)
            assert content is not None
            data = content.read()
            sha256 = bytes_sha256(data)
            value: bytes | FileRef = data
            if stays and not member.issparse() and member.name.lower().endswith(IMAGES):
                place = f"{member.offset_data}+{member.size}"
                value = FileRef(str(Member.of(file, place, sha256, member.name)))
            yield {"fname": member.name, "data": Content(value, sha256), "__url__": file}
        refuse_cut_off(tar)


def _text(sample: dict[str, Any], column: Column) -> str:
    """What a member says, as a table's cell would."""
    if column.kind in ("mask", "depth"):
        return ""
    if column.column.startswith("json:"):
        try:
            value = json.loads(inline(sample, "json") or b"{}").get(column.column.removeprefix("json:"))
        except (ValueError, AttributeError):
            return ""
        if isinstance(value, list):
            return column.separator.join(str(v) for v in value)
        return "" if value is None else str(value)
    return inline(sample, column.column).decode("utf-8", "replace").strip()


def inline(sample: dict[str, Any], name: str) -> bytes:
    """A member that is text; nothing if there is none."""
    found = sample.get(name)
    return found.value if isinstance(found, Content) and isinstance(found.value, bytes) else b""


def _target(column: Column, text: str, spec: TargetSpec) -> Any:
    if column.kind == "value":
        return number(text, column.column)
    if column.kind == "label" and text not in spec.classes and text.isdecimal() and int(text) < len(spec.classes):
        return int(text)  # the class's index, as the cls member has it
    return labels_of(text, column, spec)

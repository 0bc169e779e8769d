"""WebDataset: tar files whose members of one key are a sample, something of which is a target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from mtl.config.files import WebDatasetSet
from mtl.data.formats.cells import Cell, as_cell
from mtl.data.formats.tar_samples import TARS, Sample, samples_of
from mtl.data.formats.text import decoded, lines
from mtl.data.formats.webdataset import JSON, document_of, image_of
from mtl.data.onboard.column_roles import Guess
from mtl.data.onboard.columns import guess
from mtl.data.onboard.look import SAMPLED, Finding, Look, identifier
from mtl.data.onboard.mask_classes import mask_section
from mtl.errors import DataError

LOOKED_AT = 2000
"""Samples of the first tar file of which it is found out what they have."""
TEXTS = ("cls", "txt", "label", "class", "caption")
NAMES = ("classnames.txt", "classes.txt", "class_names.txt", "labels.txt")
ZSTANDARD = (".tar.zst", ".tar.zstd", ".tzst")


def detect(look: Look) -> Iterator[Finding]:
    """At most one finding of shards; a tar of files that are no samples is named, not taken for one."""
    packed = look.unclaimed(*ZSTANDARD)
    if packed:
        yield Finding(
            "webdataset",
            evidence=frozenset(packed),
            fault=f"{packed[0]}: zstandard is not read; make it .tar or .tar.gz",
        )
        return
    shards: list[str] = []
    for file in look.unclaimed(*TARS):
        try:
            samples = list(islice(samples_of(look.tree, file), LOOKED_AT))
        except DataError as error:
            if not look.images:
                yield Finding("webdataset", evidence=frozenset([file]), fault=error.line)
            else:
                yield Finding("webdataset", evidence=frozenset([file]), facts=(error.line,))
            continue
        if any(_has_target(sample) for sample in samples):
            shards.append(file)
        else:
            yield Finding("webdataset", facts=(_other(file, samples),))
    if shards:
        yield from _finding(look, shards)


def _has_target(sample: Sample) -> bool:
    """Whether a sample has something besides one image that may say what it shows."""
    return len(sample.members) > 1 and any(not _is_picture(name) or "." in name for name in sample.members)


def _is_picture(name: str) -> bool:
    return f".{name.rsplit('.', 1)[-1]}" in (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def _other(file: str, samples: Sequence[Sample]) -> str:
    return f"{file} has {len(samples)} files that are no samples with targets: not read; if they are a set, name it: {file}"


def _finding(look: Look, shards: list[str]) -> Iterator[Finding]:
    evidence = frozenset(shards)
    samples = [sample for file in _some(shards) for sample in islice(samples_of(look.tree, file), LOOKED_AT)]
    found, problems = _guess(look, samples)
    section = {"path": look.tree.path, "format": "webdataset", "targets": found.targets}
    section |= {name: member for name, member in (("group", found.group), ("time", found.time)) if member}
    problems += _images(section, samples)
    reasons = [f"{number} × {reason}" for reason, number in problems.most_common(3)]
    if not found.targets:
        extensions = sorted({name for sample in samples for name in sample.members})
        why = "; ".join([f"no target among {', '.join(extensions[:8])}", *reasons, *found.facts])
        yield Finding("webdataset", evidence=evidence, fault=why)
        return
    names = next((name for name in NAMES if name in look.tree), "")
    facts = [*found.facts, *_named(look, names, found), *reasons]
    left = {settings["column"] for settings in found.targets.values() if settings["column"] in ("cls",)}
    yield Finding("webdataset", {"images": section}, evidence | ({names} if names and left else set()), tuple(facts))


def _some(shards: list[str]) -> list[str]:
    """The first and the last: what all have."""
    return list(dict.fromkeys([shards[0], shards[-1]]))


def _images(section: dict[str, Any], samples: Sequence[Sample]) -> Counter[str]:
    """Why samples have no image."""
    problems: Counter[str] = Counter()
    settings = WebDatasetSet.model_validate(section, strict=False)
    for sample in samples:
        try:
            image_of(sample, settings)
        except DataError as error:
            problems[error.line] += 1
    return problems


def _guess(look: Look, samples: Sequence[Sample]) -> tuple[Guess, Counter[str]]:
    """Targets by the members' extensions and the keys of their json; and what is wrong with members."""
    columns: dict[str, list[Cell]] = {}
    problems: Counter[str] = Counter()
    for number, sample in enumerate(samples):
        for name, cell in _row(sample, problems).items():
            columns.setdefault(name, [""] * len(samples))[number] = cell
    found = guess({name.removeprefix(JSON): cells for name, cells in columns.items()}, together=False)
    by_plain = {name.removeprefix(JSON): name for name in columns}
    renamed = Guess(group=by_plain.get(found.group, ""), time=by_plain.get(found.time, ""), facts=found.facts)
    for name, settings in found.targets.items():
        column = by_plain[settings["column"]]
        renamed.add("label" if column in ("cls", "label", "class") else name, settings | {"column": column})
    for extension in sorted(
        {name for sample in samples for name in sample.members if "." in name and _is_picture(name)}
    ):
        masks = [s.members[extension].value for s in samples[:SAMPLED] if extension in s.members]
        section = mask_section(look.tree, masks, renamed.facts, extension)
        if section:
            target = "regions" if extension == "seg.png" else identifier(extension.rsplit(".", 1)[0])
            renamed.add(target, {"column": extension, "kind": "mask"} | section)
    return renamed, problems


def _row(sample: Sample, problems: Counter[str]) -> dict[str, Cell]:
    """What a sample's members say, as cells of a table."""
    row: dict[str, Cell] = {}
    try:
        row = {name: decoded(data).strip() for name in TEXTS if (data := sample.inline(name)) is not None}
        for key, value in document_of(sample).items():
            if not isinstance(value, dict) and not (
                isinstance(value, list) and any(isinstance(v, dict | list) for v in value)
            ):
                row[f"{JSON}{key}"] = as_cell(value)
    except DataError as error:
        problems[error.line] += 1
    return row


def _named(look: Look, file: str, found: Guess) -> list[str]:
    """Names of the classes that cls members have the numbers of, if a file lists as many at least."""
    settings = next(
        (s for s in found.targets.values() if s["column"] == "cls" and s["kind"] in ("label", "value")), None
    )
    names = [line for _, line in lines(look.text(file) or "")] if file else []
    if not names or settings is None or len({*names}) < len(names):
        return []
    settings |= {"kind": "label", "classes": names}
    return [f"the classes' names are those of {file}, in its order"]

"""Hugging Face data sets: Parquet files with images, what save_to_disk wrote, images with a metadata file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from mtl.data.formats.cells import as_cell
from mtl.data.formats.hf_features import kind_of
from mtl.data.formats.hf_fields import object_fields
from mtl.data.formats.hf_files import STATES, features_of, rows_of, splits_of
from mtl.data.formats.hf_metadata import is_metadata
from mtl.data.formats.hf_plan import image_column
from mtl.data.onboard.column_roles import Guess
from mtl.data.onboard.columns import guess
from mtl.data.onboard.look import SAMPLED, Finding, Look
from mtl.data.onboard.mask_classes import mask_section
from mtl.errors import DataError

PLAIN = ("text", "whole", "real", "flag", "list of text", "list of whole")
"""Kinds of columns that may be many things."""
LOOKED_AT = 2000
"""Rows whose values say what a column of texts or numbers is."""


def detect(look: Look) -> Iterator[Finding]:
    """At most one; one with a fault if it is one and cannot be proposed."""
    files = _files(look)
    if not files:
        return
    evidence = frozenset([*files, *(name for name in look.names if name.rpartition("/")[2] in STATES)])
    try:
        splits = splits_of(look.tree)
        first = next(iter(splits.values()))[0]
        features = features_of(look.tree, first)
        found = _guess(look, splits, features)
    except DataError as error:
        yield Finding("huggingface", evidence=evidence, fault=error.line)
        return
    facts = tuple(found.facts)
    if not found.targets:
        fault = "; ".join([f"no column is a target: it has {', '.join(features)}", *facts])
        yield Finding("huggingface", evidence=evidence, fault=fault)
        return
    section = {"path": look.tree.path, "format": "huggingface", "image": image_column(features)}
    section |= {name: column for name, column in (("group", found.group), ("time", found.time)) if column}
    yield Finding("huggingface", {"images": section | {"targets": found.targets}}, evidence, facts)


def _files(look: Look) -> list[str]:
    """Files that are a Hugging Face data set's: tables with images in them, and what lies beside images."""
    saved = any(name.rpartition("/")[2] in ("dataset_dict.json", "state.json") for name in look.names)
    if saved and (rows := look.unclaimed(".arrow")):
        return rows
    tables = [name for name in look.unclaimed(".parquet") if not is_metadata(name)]
    if tables and _has_images(look, tables[0]):
        return tables
    return [
        name for name in look.unclaimed(".csv", ".jsonl", ".parquet") if is_metadata(name) and _names_files(look, name)
    ]


def _has_images(look: Look, file: str) -> bool:
    try:
        return any(kind_of(feature) in ("image", "bytes") for feature in features_of(look.tree, file).values())
    except DataError:
        return "-of-" in file  # damaged, and called as the hub calls its files


def _names_files(look: Look, file: str) -> bool:
    """Whether a metadata file is one of images: it has the column file_name, or cannot be read and says so all the same."""
    try:
        return "image" in features_of(look.tree, file)
    except DataError:
        return "file_name" in (look.text(file) or "") or b"file_name" in look.tree.read(file)


def _guess(look: Look, splits: dict[str, list[str]], features: dict[str, Any]) -> Guess:
    """The columns that can be targets: of objects, of classes, of images; and those whose values have to say what they are."""
    image = image_column(features)
    fields = {name: found for name in features if (found := object_fields(name, features, "", ())) is not None}
    objects = [*fields]
    beside = {f for one in fields.values() if one.columns for f in (one.category, one.area, one.crowd) if f}
    others = {n: kind_of(feature) for n, feature in features.items() if n not in (image, *objects, *beside)}
    plain = [name for name, kind in others.items() if kind in PLAIN]
    sample = _sample(look, splits, plain)
    guessed = guess({name: [as_cell(row.get(name)) for row in sample] for name in plain}, together=False)
    found = Guess(group=guessed.group, time=guessed.time, facts=guessed.facts)
    for name in objects:
        found.add("objects", name)
    for name, kind in others.items():
        if kind in ("classes", "list of classes"):
            found.add(name, name)
        elif kind == "image":
            _map(look, splits, name, found)
        elif name not in plain:
            found.facts.append(f"{name} is no target: {str(features[name])[:60]}")
    for name, settings in guessed.targets.items():
        found.add(name, _settings(settings, others))
    return found


def _settings(settings: dict[str, Any], kinds: dict[str, str]) -> Any:
    """A column's name, where its type says the rest; else what it is to be taken for."""
    same = {("text", "label"), ("flag", "label"), ("real", "value"), ("whole", "value")}
    same |= {("list of text", "labels"), ("list of whole", "labels")}
    is_said = (kinds[settings["column"]], settings["kind"]) in same and len(settings) == 2
    return settings["column"] if is_said else settings


def _sample(look: Look, splits: dict[str, list[str]], columns: list[str]) -> list[dict[str, object]]:
    """Rows of the first files of each split."""
    rows: list[dict[str, object]] = []
    for files in splits.values():
        rows += itertools.islice(rows_of(look.tree, files[0], columns), LOOKED_AT)
    return rows


def _map(look: Look, splits: dict[str, list[str]], name: str, found: Guess) -> None:
    """A further column of images: masks, if their values are indices of classes."""
    first = next(iter(splits.values()))[0]
    if "depth" in name.lower():
        found.facts.append(f"{name} has depths: what a step is, `scale` has to say (0.001 m is supposed)")
        found.add(name, {"column": name, "kind": "depth", "unit": "m", "scale": 0.001})
        return
    values = [row[name] for row in itertools.islice(rows_of(look.tree, first, [name]), SAMPLED)]
    masks = [v["bytes"] for v in values if isinstance(v, dict) and v.get("bytes")]
    masks += [look.tree.read(look.files.find(v)) for v in values if isinstance(v, str) and v]
    section = mask_section(look.tree, masks, found.facts, name)
    if section:
        found.add(name, {"column": name, "kind": "mask"} | section)

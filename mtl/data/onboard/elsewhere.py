"""What is known by its look and cannot be read: it is named, with what its tool can write instead. Looked for before
tables, for which some of it would be taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from mtl.data.formats.documents import items, read_json, section
from mtl.data.onboard.look import Finding, Look, some
from mtl.errors import DataError
from mtl.storage.file_tree import ARCHIVES

Found = tuple[str, str, frozenset[str]]
"""A format's name, what to do instead, and the files that are of it."""

DOCUMENTS = (".json", ".jsonl", ".ndjson", ".manifest")
COCO = "export it as COCO"
FOLDERS = "export it as folders of images, one per class"


@dataclass(frozen=True)
class Named:
    """A format by the names of its files: there is one for each pattern, as fnmatch has it, in small letters."""

    name: str
    patterns: tuple[str, ...]
    fix: str


NAMED = (
    Named("MNIST (IDX)", ("*idx3-ubyte*",), FOLDERS),
    Named("MNIST in CSV", ("*mnist_*.csv",), FOLDERS),
    Named("CIFAR (Python pickles, which may hold code)", ("*batches.meta",), FOLDERS),
    Named("Datumaro's Arrow files", ("*datum-*.arrow",), "export it as datumaro or coco"),
    Named("Datumaro's binary files", ("*.datum",), "export it as datumaro or coco"),
    Named("ICDAR", ("*_gt.txt", "*_gt.bmp"), "texts are no target here; export its masks as COCO"),
    Named("WIDER FACE", ("*wider_face_*bbx_gt.txt",), COCO),
    Named("MOT sequences", ("*gt/gt.txt", "*img1/*"), COCO),
    Named("MOTS sequences", ("*instances/labels.txt",), COCO),
    Named("LFW", ("*pairs.txt", "*people.txt"), FOLDERS),
    Named("Market-1501", ("*bounding_box_train/*",), "describe its identities in a table, one row per image"),
    Named("VGGFace2", ("*bb_landmark/*",), "describe its boxes in a table, or export it as COCO"),
    Named("DOTA", ("*labeltxt/*.txt",), "export its boxes as YOLO oriented boxes, or as COCO"),
    Named(
        "ADE20K as a whole",
        ("*ade_*_seg.png", "*ade_*_parts_1.png"),
        "its masks have a class and an object in a colour: take the release for scene parsing, ADEChallengeData2016",
    ),
    Named("MVTec AD", ("*ground_truth/*_mask.png",), "describe its images in a table; its masks as mask_pairs"),
)
"""The most particular first."""

KINDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("Labelbox", lambda d: {"data_row", "projects"} <= d.keys() or {"Labeled Data", "Label"} <= d.keys(), COCO),
    ("VoTT", lambda d: {"asset", "regions"} <= d.keys() or {"assets", "tags"} <= d.keys(), "export it as Pascal VOC"),
    ("Scale", lambda d: "task_id" in d and ("response" in d or "params" in d), COCO),
    ("V7 Darwin", lambda d: "annotations" in d and {"slots", "path"} & section(d, "item").keys() != set(), COCO),
    ("BDD100K", lambda d: any("box2d" in one for one in items(d, "labels")), COCO),
    ("VGG Image Annotator 3", lambda d: {"project", "metadata", "view"} <= d.keys(), COCO),
    ("Segment Anything", lambda d: "image_id" in section(d, "image"), "its masks have no classes"),
    ("YouTube-VIS", lambda d: {"videos", "annotations"} <= d.keys(), "export the frames as COCO"),
    ("SageMaker Ground Truth", lambda d: "source-ref" in d, COCO),
    ("Ultralytics' NDJSON", lambda d: "class_names" in d and d.get("type") == "dataset", "export it as YOLO"),
)
"""Name, whether a JSON object is of it, and what to do instead; of a list its first item says."""


def detect_documents(look: Look) -> Iterator[Finding]:
    """Documents that no other format may take for its own."""
    for name, fix, evidence in _by_documents(look, look.unclaimed(*DOCUMENTS)):
        yield Finding(name, evidence=evidence, facts=(f"{name}, which is not read: {fix}",))


def detect(look: Look) -> Iterator[Finding]:
    """What is there, with a fault if there is nothing that can be read."""
    documents = _by_documents(look, look.tree.names(suffixes=DOCUMENTS))
    for name, fix, evidence in [*documents, *_by_names(look), *_texts(look), *_by_archives(look)]:
        if not look.taken:
            yield Finding(name, evidence=evidence, fault=f"it is not read; {fix}")
        elif not evidence <= look.claimed:
            yield Finding(name, evidence=evidence, facts=(f"{name}, which is not read: {fix}",))
        return


def _by_names(look: Look) -> Iterator[Found]:
    names = {name: name.lower() for name in look.names if name not in look.taken}
    every = "\n".join(names.values())
    for rule in NAMED:
        if not all(max(pattern.split("*"), key=len) in every for pattern in rule.patterns):
            continue  # a look into all names at once: there may be millions
        found = [[name for name, small in names.items() if fnmatch(small, pattern)] for pattern in rule.patterns]
        if all(found):
            yield rule.name, rule.fix, frozenset(name for matched in found for name in matched)


def _by_documents(look: Look, names: list[str]) -> list[Found]:
    found: dict[tuple[str, str], set[str]] = {}
    for name in some(names):
        document = _first(look, name)
        kind = next(((kind, fix) for kind, fits, fix in KINDS if isinstance(document, dict) and fits(document)), None)
        if kind is not None:
            found.setdefault(kind, set()).add(name)
    return [(kind, fix, frozenset(files)) for (kind, fix), files in found.items()]


def _first(look: Look, name: str) -> Any:
    """A document; of a list, or of one per line, the first."""
    try:
        if not name.lower().endswith(".json"):
            return json.loads((look.text(name) or "").partition("\n")[0])
        document = read_json(look.tree, name)
    except (DataError, ValueError, RecursionError):
        return None
    return document[0] if isinstance(document, list) and document else document


def _texts(look: Look) -> Iterator[Found]:
    """ICDAR: gt_a.txt for a.png, or gt.txt beside images/."""
    texts = look.unclaimed(".txt")
    images = [PurePosixPath(image) for image in look.images] if texts else []
    stems = {f"gt_{image.stem}.txt" for image in images}
    folders = {f"{image.parent.parent.as_posix()}/gt.txt".removeprefix("./") for image in images}
    found = [name for name in texts if PurePosixPath(name).name in stems or name in folders]
    if found:
        yield "ICDAR", "texts are no target here; export its boxes as COCO", frozenset(found)


def _by_archives(look: Look) -> Iterator[Found]:
    """A folder of archives alone, which are not stepped into."""
    archives = [name for name in look.names if name.lower().endswith(tuple(ARCHIVES))]
    if archives and not look.images and not any(PurePosixPath(name).suffix == ".tar" for name in archives):
        yield "a folder of archives", f"name one of them, e.g. {look.tree.path}/{archives[0]}", frozenset(archives)

"""The files in which YOLO sets declare their classes and splits: data.yaml, obj.data, and lists of names."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mtl.config.yaml_text import refuse_bomb
from mtl.data.formats.mentions import Files
from mtl.data.formats.text import decoded, lines, plain
from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES, FileTree

SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
OF_YAML = re.compile(r"^[\"']?(names|nc)[\"']?\s*:", re.MULTILINE)
OF_A_MODEL = re.compile(r"^backbone\s*:", re.MULTILINE)
OF_DARKNET = re.compile(r"^\s*(names|train|classes)\s*=", re.MULTILINE)
NOTHING = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Declared:
    """One file's word.

    names: class number → name; empty if the file names none. splits: split → the folders and lists it names. file: which; its paths are
    seen from its folder and from `path`. keypoints: numbers of a pose's line without its class; 0 if it is none.
    """

    file: str
    names: dict[int, str]
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    path: str = ""
    keypoints: int = 0
    documents: frozenset[str] = frozenset()


def declares_or_none(file: str, tree: FileTree, encoding: str) -> Declared | None:
    """None of a file that is something else."""
    data = tree.read(file)
    try:
        text = decoded(data, encoding)
    except DataError:  # which is said if it is a file that is meant
        text = data.decode("utf-8", "replace")
    kind = PurePosixPath(file).suffix.lower()
    if kind in (".yaml", ".yml") and (not OF_YAML.search(text) or OF_A_MODEL.search(text)):
        return None
    if kind == ".data" and not OF_DARKNET.search(text):
        return None
    if file.lower().endswith("labels.txt") and not _is_names(text):
        return None
    return declares(file, tree, encoding)


def declares(file: str, tree: FileTree, encoding: str) -> Declared:
    """What a file declares, by its kind.

    Raises:
        DataError: it cannot be read, or says what cannot be.
    """
    text = decoded(tree.read(file), encoding)
    if file.lower().endswith((".yaml", ".yml")):
        return _of_yaml(file, text, tree, encoding)
    if file.lower().endswith(".data"):
        return _of_data(file, text, tree, encoding)
    names = dict(enumerate(line for _, line in lines(text)))
    return Declared(file, names, documents=frozenset([file]))


def _is_names(text: str) -> bool:
    """Whether lines are names of classes: neither images nor boxes."""
    words = [line for _, line in lines(text)]
    images = any(f"{word.lower()} ".find(f"{suffix} ") > 0 for word in words for suffix in IMAGES)
    return bool(words) and not images and not any(len(word.split()) > 4 for word in words)


def _of_data(file: str, text: str, tree: FileTree, encoding: str) -> Declared:
    """Darknet's obj.data: `key = value` lines."""
    pairs = {k.strip(): v.strip() for k, sign, v in (line.partition("=") for _, line in lines(text)) if sign}
    splits = {SPLIT_KEYS[k]: (v,) for k, v in pairs.items() if k in SPLIT_KEYS and v}
    one = Declared(file, {}, splits, documents=frozenset([file]))
    if not pairs.get("names"):
        return one
    names = _names_file(pairs["names"], file, tree, encoding)
    return replace(one, names=names.names, documents=one.documents | names.documents)


def _names_file(mention: str, file: str, tree: FileTree, encoding: str) -> Declared:
    texts = Files(tree.names("", (".names", ".txt", ".labels")))
    return declares(texts.find(mention, PurePosixPath(file).parent.as_posix()), tree, encoding)


def _of_yaml(file: str, text: str, tree: FileTree, encoding: str) -> Declared:
    try:
        refuse_bomb(text)
        # All scalars as they are written: `no` and 007 are names.
        found: object = YAML(typ="base", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{file} is not YAML", found=" ".join(str(error).split())[:200]) from error
    if not isinstance(found, dict):
        raise DataError(f"{file} is no table of `names` and paths", found=reprlib.repr(found))
    documents = frozenset([file])
    names = found.get("names")
    if isinstance(names, str) and names.lower().endswith((".names", ".txt")):
        other = _names_file(names, file, tree, encoding)
        by_number, documents = other.names, documents | other.documents
    else:
        by_number = _names(file, names, found.get("nc"))
    splits = {
        SPLIT_KEYS[key]: paths
        for key, value in found.items()
        if key in SPLIT_KEYS and (paths := _paths(file, key, value))
    }
    path = found.get("path")
    path = path if isinstance(path, str) and path not in NOTHING else ""
    return Declared(file, by_number, splits, path, _keypoints(file, found.get("kpt_shape")), documents)


def _names(file: str, names: object, count: object) -> dict[int, str]:
    """Class number → name of a list or a table; `nc` alone names them as Ultralytics does."""
    total = _whole(count)
    if isinstance(names, dict) and all(_whole(key) is not None for key in names):
        pairs = sorted((_whole(key) or 0, value) for key, value in names.items())
    elif isinstance(names, list):
        pairs = list(enumerate(names))
    elif names in (None, *NOTHING) and total:
        pairs = [(number, f"class_{number}") for number in range(total)]
    else:
        fix = "a list of names, or a table from numbers to names"
        raise DataError(f"{file}: `names` are no names", found=reprlib.repr(names), fix=fix)
    if any(not isinstance(name, str) or not name.strip() for _, name in pairs):
        raise DataError(f"{file}: a class has no name", found=reprlib.repr(pairs))
    if total is not None and total != len(pairs):
        fix = "correct one of them: lines are understood by the order of names"
        raise DataError(f"{file}: nc is not the number of names", found=f"nc {total}, {len(pairs)} names", fix=fix)
    return {number: plain(name) for number, name in pairs}


def _whole(value: object) -> int | None:
    """A whole number of a few digits; None of anything else."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,5}", value.strip()) else None


def _paths(file: str, key: str, value: Any) -> tuple[str, ...]:
    paths = value if isinstance(value, list) else [value]
    if any(not isinstance(path, str) for path in paths):
        raise DataError(f"{file}: {key} is no path", found=reprlib.repr(value), fix="a folder, a list in a text file")
    return tuple(path for path in paths if path not in NOTHING)


def _keypoints(file: str, shape: object) -> int:
    if shape in (None, *NOTHING):
        return 0
    numbers = [_whole(number) for number in shape] if isinstance(shape, list) else []
    if len(numbers) != 2 or None in numbers:
        raise DataError(f"{file}: kpt_shape is not two numbers", found=reprlib.repr(shape))
    return 4 + (numbers[0] or 0) * (numbers[1] or 0)

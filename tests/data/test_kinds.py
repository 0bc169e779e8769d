"""Kinds of targets and of answers: a class each, which says all that others ask of it."""

from __future__ import annotations

import ast
import hashlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mtl.data.kinds import KINDS
from mtl.data.loading.loader import Split, collate
from mtl.data.loading.padded import Padded
from mtl.data.prepare.picture import Picture
from mtl.data.shards.shards import Shard, pack, unpack
from mtl.data.spec import SPLITS, TargetSpec
from mtl.tasks import TASKS, build_tasks, image_spec
from mtl.tasks.answers import ANSWERS, answer_of
from tests.model.test_sharing import task_configs
from tools.closure import ROOT, closure

ASKED = ("kind", "answer", "serves")
GOLDEN = {
    "digit": "46e9fd5a",
    "species": "c820c7a5",
    "contents": "c6c8a744",
    "count": "63f31929",
    "objects": "c3cd12bc",
    "regions": "e514fd18",
    "depth": "abe5ccbc",
    "normals": "fc6e4d9a",
    "poses": "7c047e3f",
}
"""Target → the first digits of the SHA-256 of what a batch of the smallest set with every kind holds of it."""


def digest(value: Any) -> str:
    found = hashlib.sha256()
    for array in [table.numpy() for table in value] if isinstance(value, Padded) else [value.numpy()]:
        found.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:8]


def test_batches_are_what_they_were(everything: Path) -> None:
    """From before kinds were classes: whoever changes a kind changes these on purpose."""
    batch = collate(Split(everything, "train"), np.arange(16))
    assert {name: digest(value) for name, value in batch.targets.items()} == GOLDEN


def test_a_shard_s_samples_are_packed_as_they_were_unpacked(everything: Path) -> None:
    split = Split(everything, "train")
    for record in (record for name in SPLITS for record in split.manifest.of(name)):
        shard = Shard(everything / record.file)
        samples = [unpack(shard, split.spec, index) for index in range(len(shard.ids))]
        again = pack(split.spec, samples, split.manifest.height, split.manifest.width)
        assert all(
            np.array_equal(shard.arrays[name], array, equal_nan=array.dtype.kind == "f")
            for name, array in again.items()
        )
        assert again.keys() | {"image.hash"} == shard.arrays.keys()


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="no kind 'sound'; there are label, labels, boxes"):
        TargetSpec(kind="sound")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_task_that_is_proposed_for_a_kind_learns_it(kind: Any) -> None:
    assert TASKS[kind.task].kind == kind.name


def asked(path: Path) -> list[str]:
    """Comparisons of a kind of target, or of an answer, with names of some."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr in ASKED:
            names = {n.value for side in node.comparators for n in ast.walk(side) if isinstance(n, ast.Constant)}
            found += [f"{path.relative_to(ROOT)}:{node.lineno}"] if names & {*KINDS, *ANSWERS} else []
    return found


def test_nobody_asks_which_kind_a_target_or_an_answer_is() -> None:
    """Formats ask what a column's cells are, which is another question."""
    apart = {"formats", "onboard", "config"}
    files = [path for path in (ROOT / "mtl").rglob("*.py") if not apart & {*path.relative_to(ROOT / "mtl").parts}]
    assert [place for path in files for place in asked(path)] == []


def test_raw_reading_avoids_torch_and_training_avoids_drawing() -> None:
    kinds = {Path(inspect.getfile(type(kind))).relative_to(ROOT).as_posix() for kind in KINDS.values()}
    for path in sorted(kinds | {"mtl/data/kinds/base.py"}):
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        tree.body = [
            node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        ]
        names = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        names |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
        assert not {name.partition(".")[0] for name in names} & {"torch", "cv2", "matplotlib"}, path
    for stage in ("fetch", "prepare", "train", "evaluate", "package"):
        files = closure(f"mtl.stages.{stage}")
        assert not {path for path in files if path.startswith("mtl/data/drawn/")}
        assert stage == "package" or not {path for path in files if path.startswith("mtl/tasks/answers/")}


def test_every_form_of_an_answer_has_the_same_columns(everything: Path) -> None:
    split = Split(everything, "train")
    tasks = build_tasks(task_configs(), split.spec.targets, image_spec(split.manifest))
    assert {task.answer for task in tasks.values()} == {*ANSWERS}
    batch = collate(split, np.arange(16))
    picture = Picture(image=np.zeros((32, 32, 3), np.uint8))
    for name, task in tasks.items():
        task.derive(batch)
        prediction = task.blind(task.truths(batch))
        answer = answer_of(task)
        row = answer.row(name, task, prediction, picture)
        fields = [field for field, _ in answer.fields(name)]
        assert [*row] == fields == [column.name for column in answer.columns(name)]
        assert not answer.differ(row[name], row[name], answer.distance(row[name], row[name]))
        assert (answer.line(name, task, row) == "") or name in answer.line(name, task, row)
        assert answer.page in ("label", "labels", "value", "boxes", "mask", "picture")

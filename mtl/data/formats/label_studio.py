"""Label Studio: JSON and JSON-MIN. What several people said of one picture is taken where they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from mtl.config.files import Column, LabelStudioSet
from mtl.data.formats.answers import Answer
from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.documents import documents_of, shown
from mtl.data.formats.figures import around
from mtl.data.formats.label_studio_regions import Objects, Said, said
from mtl.data.formats.label_studio_tasks import Task, is_label_studio, mention_of, picture_key, tasks_of
from mtl.data.formats.locate import locate, lost
from mtl.data.formats.mentions import Files
from mtl.data.formats.pictures import Picture, gather
from mtl.data.formats.shapes import Box
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

ALIKE = 0.5
"""Intersection over union from which two people's boxes are of one object."""


def read_label_studio(settings: LabelStudioSet, tree: FileTree) -> Reading:
    """Pictures of tasks. A task that nobody has annotated is not labelled; predictions are no labels.

    Raises:
        DataError: there is no export, or its tasks have no pictures.
    """
    reading, files = Reading({}, []), Files(tree.images())
    pictures: list[Picture] = []
    for name, document in documents_of(tree, settings.annotations, is_label_studio, "Label Studio", reading):
        tasks = tasks_of(document)
        key = settings.image or picture_key(tasks)
        if not key:
            raise DataError(f"{name}: no task has a picture", found=shown([*tasks[0].data][:8] if tasks else []))
        for task in tasks:
            picture = _picture(name, task, key, files, reading)
            if picture is not None:
                _fill(picture, task, settings.targets, reading)
                pictures.append(picture)
    return gather(settings, tree, pictures, reading, columns=settings.targets)


def _picture(name: str, task: Task, key: str, files: Files, reading: Reading) -> Picture | None:
    value = task.data.get(key)
    if not isinstance(value, str) or not value:
        reading.problems.append(Problem(f"task {task.known}", f"{name}: a task has no {key!r}"))
        return None
    mention = mention_of(value)
    if isinstance(mention, bytes):
        return Picture(mention, f"{name}/{task.known}")
    try:
        return Picture(locate(files, mention, PurePosixPath(name).parent.as_posix()), name)
    except DataError as error:
        reading.problems.append(lost(mention, error, name))
        return None


def _fill(picture: Picture, task: Task, targets: Mapping[str, Column], reading: Reading) -> None:
    """Put into a picture what people said of it."""
    if task.predictions:
        reading.notes["predictions, which are no labels, passed over"] += task.predictions
    if not task.annotations:
        skipped = (
            "tasks that were skipped, not labelled" if task.skipped else "tasks that nobody annotated, not labelled"
        )
        reading.notes[skipped] += 1
        return
    truths = [annotation for annotation in task.annotations if annotation.is_truth]
    chosen = sorted(truths or task.annotations, key=lambda annotation: annotation.when)
    try:
        sayings = [said(annotation.results, reading.notes) for annotation in chosen]
    except DataError as error:
        reading.problems.append(Problem(f"task {task.known}", error.line, loses="annotation"))
        return
    last = sayings[-1]
    reading.problems += [Problem(f"task {task.known}", fault, loses="annotation") for fault in last.faults]
    if len(sayings) > 1:
        reading.notes["tasks with several annotations: the latest is taken where they agree"] += 1
    if all(_alike(saying.objects, last.objects) for saying in sayings[:-1]):
        picture.frame, picture.objects = last.frame, last.objects
    else:
        reading.problems.append(_disagreement(task, "objects", [_counted(saying) for saying in sayings]))
    for target, column in targets.items():
        answers = [saying.answers[column.column] for saying in sayings if column.column in saying.answers]
        if len({_plain(answer) for answer in answers}) > 1:
            reading.problems.append(_disagreement(task, target, answers))
        elif answers:
            picture.answers[target] = answers[-1]


def _disagreement(task: Task, what: str, sayings: Sequence[object]) -> Problem:
    reason = f"annotators disagree in {what}, which is not known then; found: {shown(list(sayings))}"
    return Problem(f"task {task.known}", reason, loses="annotation")


def _plain(answer: Answer) -> tuple[str, ...]:
    return tuple(sorted(answer)) if isinstance(answer, list) else (f"{answer:g}",)


def _counted(saying: Said) -> str:
    names = sorted({name for name, _ in saying.objects})
    return ", ".join(f"{sum(name == other for other, _ in saying.objects)} {name}" for name in names) or "none"


def _alike(mine: Objects, theirs: Objects) -> bool:
    """Whether two people found the same objects, each by boxes that overlap by half."""
    if len(mine) != len(theirs):
        return False
    left = [*theirs]
    for name, shape in mine:
        fits = [pair for pair in left if pair[0] == name and _overlap(around(shape), around(pair[1])) >= ALIKE]
        if not fits:
            return False
        left.remove(max(fits, key=lambda pair: _overlap(around(shape), around(pair[1]))))
    return True


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inside = max(width, 0.0) * max(height, 0.0)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - inside
    return inside / total if total > 0 else 0.0

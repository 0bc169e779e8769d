"""The table of kinds of answers. Training does not import it: how an answer is written changes no weight."""

from __future__ import annotations

from mtl.tasks.answers.base import Answer
from mtl.tasks.answers.boxes import Boxes
from mtl.tasks.answers.keypoints import Keypoints
from mtl.tasks.answers.labels import Label, Labels
from mtl.tasks.answers.pictures import Depth, Image, Mask, Normals, Outline
from mtl.tasks.answers.values import Value
from mtl.tasks.base import Task

ANSWERS: dict[str, Answer] = {
    answer.name: answer
    for answer in (Label(), Labels(), Value(), Boxes(), Keypoints(), Image(), Outline(), Mask(), Depth(), Normals())
}


def answer_of(task: Task) -> Answer:
    """What a packaged model answers for a task."""
    return ANSWERS[task.answer]

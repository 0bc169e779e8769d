"""With what a proposal begins where params.yaml still describes the example: weights that have seen photographs, and epochs enough for
how few images there are, so that a first result comes in minutes. docs/measurements.md says what it was chosen by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mtl.data.kinds import KINDS
from mtl.data.onboard.look import Section

WHOLE, WITHIN = 128, 256
"""Pixels per side that are proposed at most: where targets are said of an image as a whole, and where they lie in it. Twice as many
take four times as long.
"""
SEEN = 12_000
"""Images that a first training sees, each as often as that takes."""
MOST_EPOCHS = 40


def is_example(params: Mapping[str, Any]) -> bool:
    """Whether params.yaml describes the images that mtl brings: nobody has chosen how to train on others yet."""
    return params.get("data", {}).get("source", {}).get("type") == "zoo"


def side(typical: int, kinds: Iterable[str]) -> int:
    """Height and width to resize to, in pixels.

    Args:
        typical: the shorter side of a typical image.
        kinds: of the targets.
    """
    within = any(KINDS[kind].encoded or KINDS[kind].rows for kind in kinds)
    return max(32, min(WITHIN if within else WHOLE, 32 * round(typical / 32)))


def recipe(images: int) -> dict[str, Section]:
    """Keys of other sections of params.yaml that change.

    Args:
        images: to train on.
    """
    return {
        "model": {"backbone": {"type": "efficientnet_lite0"}, "neck_channels": 48, "pretrained": {"type": "package"}},
        "train": {"epochs": min(max(math.ceil(SEEN / max(images, 1)), 1), MOST_EPOCHS), "learning_rate": 5e-4},
        "registry": {"intended_use": "", "limits": ""},  # what stands there is said of other images
    }


def about(changes: Mapping[str, Section], size: int) -> str:
    """What a person should know of a recipe."""
    return (
        f"for a first result in minutes: a network that has seen ImageNet, {changes['train']['epochs']} epochs, images of "
        f"{size}×{size}; more of both see more and take longer (train.epochs, data.operations)"
    )

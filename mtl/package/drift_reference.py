"""From images and a model to their profile: the same way for the reference and for production images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from mtl.data.loading.loader import Split, as_images
from mtl.data.shards.manifest import Statistics
from mtl.data.spec import SPLITS
from mtl.monitor.profile import NAME, Profile, join, write
from mtl.tasks import Task
from mtl.tasks.answers import answer_of

NUM_REFERENCE = 500
"""Images of each split that a reference is made of, spread evenly."""


@torch.inference_mode()
def profile(model: nn.Module, tasks: dict[str, Task], statistics: Statistics, pixels: np.ndarray) -> Profile:
    """The profile of preprocessed images, uint8 [n, height, width, channels]."""
    images = as_images(torch.from_numpy(pixels), statistics)
    network: Any = model
    levels = network.shared(images, {})
    outputs = network.specific(levels, network.rows(images, {}), list(tasks))
    features = [level.mean((2, 3)) for level in levels if level.ndim == 4]
    values, labels, classes = _of_pixels(pixels), dict[str, np.ndarray](), dict[str, list[str]]()
    for name, task in tasks.items():
        if task.config.auxiliary:
            continue
        predictions = task.predict(outputs[name])
        answer = answer_of(task)
        for key, found in answer.summary(task, predictions).items():
            values[f"{name}/{key}"] = np.array(found, np.float32)
        if (indices := answer.indices(predictions)) is not None:
            labels[name] = indices
            classes[name] = list(task.target.classes)
    embedding = torch.cat(features, 1).numpy() if features else None
    return Profile(values, labels, classes, embedding)


def write_reference(bundle: Path, model: nn.Module, tasks: dict[str, Task], prepared: Path, batch_size: int) -> None:
    """Put the profile of images of every split into a bundle: how far splits differ is how far images may.

    What the model says of the images that it was trained on is left out: it is surer of them.
    """
    parts: list[Profile] = []
    for number, name in enumerate(SPLITS):
        split = Split(prepared, name)
        chosen = split.spread(NUM_REFERENCE)
        for start in range(0, len(chosen), batch_size):
            pixels = split.rows(chosen[start : start + batch_size])["image"]
            part = profile(model, tasks, split.manifest.statistics, pixels)
            if name == "train":
                part = _without_answers(part)
            parts.append(replace(part, groups=np.full(len(part), number)))
    write(bundle / NAME, join(parts))


def _without_answers(part: Profile) -> Profile:
    values = {
        name: column if name.startswith("image/") else np.full_like(column, np.nan)
        for name, column in part.values.items()
    }
    return replace(part, values=values, labels={name: np.full_like(one, -1) for name, one in part.labels.items()})


def _of_pixels(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Brightness and contrast (mean and deviation of grey), saturation (spread of colours), sharpness (deviation of the
    Laplacian), and the mean of each channel.
    """
    colour = pixels[..., :3].astype(np.float32)
    grey = colour.mean(3)
    found = {"image/brightness": grey.mean((1, 2)), "image/contrast": grey.std((1, 2))}
    found["image/saturation"] = (colour.max(3) - colour.min(3)).mean((1, 2))
    found["image/sharpness"] = np.array([np.asarray(cv2.Laplacian(g, cv2.CV_32F)).std() for g in grey], np.float32)
    for channel in range(pixels.shape[3]):
        found[f"image/channel_{channel}"] = pixels[..., channel].mean((1, 2), dtype=np.float32)
    return found

"""What is remembered of a set of images: statistics of their pixels, of what the model says of them, and embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from mtl.errors import DataError

NAME = "reference.safetensors"
"""Lies in a bundle: the profile of images of every split."""
FORM = "exact"
"""Kept with it. One without was rounded to four digits."""


@dataclass
class Profile:
    """n images, all in one order.

    values: name → float32 [n], NaN where an image has none; labels: name → int64 [n], with `classes` naming them;
    embedding: float32 [n, d]; groups: int64 [n], which images belong together (a split, a place).
    """

    values: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    classes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    embedding: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        arrays = [*self.values.values(), *self.labels.values()]
        return len(arrays[0]) if arrays else 0

    def take(self, indices: np.ndarray) -> Profile:
        """Some of the images."""
        return Profile(
            {name: array[indices] for name, array in self.values.items()},
            {name: array[indices] for name, array in self.labels.items()},
            self.classes,
            None if self.embedding is None else self.embedding[indices],
            None if self.groups is None else self.groups[indices],
        )


def in_words(name: str) -> str:
    """What a column is called to people: `image/channel_0` is the mean of an image's first channel."""
    room, _, what = name.partition("/")
    number = what.removeprefix("channel_")
    if room != "image":
        return name
    return f"{room}: mean of channel {int(number) + 1}" if number != what and number.isdecimal() else f"{room}: {what}"


def join(parts: Iterable[Profile]) -> Profile:
    """Profiles of one model, one after the other."""
    found = list(parts)
    first = found[0]
    return Profile(
        {name: np.concatenate([part.values[name] for part in found]) for name in first.values},
        {name: np.concatenate([part.labels[name] for part in found]) for name in first.labels},
        first.classes,
        None if first.embedding is None else np.concatenate([p.embedding for p in found if p.embedding is not None]),
        None if first.groups is None else np.concatenate([p.groups for p in found if p.groups is not None]),
    )


def write(path: Path, profile: Profile) -> None:
    """Write a profile, exactly: rounded, its values would be other ones than those that production images have."""
    tensors = {f"value/{name}": array for name, array in profile.values.items()}
    tensors |= {f"label/{name}": array.astype(np.int32) for name, array in profile.labels.items()}
    if profile.embedding is not None:
        tensors["embedding"] = profile.embedding
    if profile.groups is not None:
        tensors["groups"] = profile.groups.astype(np.int32)
    contiguous = {name: np.ascontiguousarray(array) for name, array in sorted(tensors.items())}
    described = json.dumps(
        {"classes": profile.classes, "form": FORM}, sort_keys=True
    )  # in one: their order is not kept
    save_file(contiguous, path, metadata={"profile": described})


def read(path: Path) -> Profile:
    """Read a profile.

    Raises:
        DataError: the model has none, or it is damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
            described = json.loads(file.metadata().get("profile", "{}"))
    except FileNotFoundError as error:
        fix = "register a version made by this program's present code (mtl retrain)"
        raise DataError(
            "the model has no reference of what it was made with", found=f"no {path.name}", fix=fix
        ) from error
    except Exception as error:  # the library's own kinds
        raise DataError("the model's reference is damaged", found=str(error)) from error
    if described.get("form") != FORM:
        fix = "register a version made by this program's present code (mtl retrain --force)"
        raise DataError("the model's reference cannot be compared with", found="one rounded to four digits", fix=fix)
    return Profile(
        {name.removeprefix("value/"): array for name, array in tensors.items() if name.startswith("value/")},
        {name.removeprefix("label/"): array for name, array in tensors.items() if name.startswith("label/")},
        described["classes"],
        tensors.get("embedding"),
        tensors.get("groups"),
    )

"""Production images as a packaged model sees them: read, profiled and answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mtl.data.prepare.picture import Picture
from mtl.errors import DataError, StageError
from mtl.monitor import profile as profiles
from mtl.package.drift_reference import profile
from mtl.package.predictor import BATCH, Predictor, Row
from mtl.serving.overlay import drawn_as_png
from mtl.serving.sources import Reader
from mtl.storage.digest import bytes_sha256


@dataclass(frozen=True)
class Answered:
    """An image's answers."""

    content: str
    """The image's digest."""
    row: Row
    """Of `Predictor.predict`."""


@dataclass
class Looked:
    """What was found of images: the profile of those that can be read, each content once; answers by name, if they are wanted."""

    profile: profiles.Profile | None = None
    profiled: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """The images of the profile, in its order, as they were given."""
    answers: dict[str, Answered] = field(default_factory=dict[str, Answered])
    unreadable: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    copies: list[str] = field(default_factory=list[str])


def look(predictor: Predictor, images: Sequence[tuple[str, str, str]], *, answered: bool) -> Looked:
    """Read and predict images: what can be read is profiled, an image with the bytes of another one is one with it.

    Raises:
        StageError: a bucket or a server does not give an image: it may be out of reach, which says nothing of the image.
    """
    reader, found = Reader(), Looked()
    parts: list[profiles.Profile] = []
    seen: set[str] = set()
    for start in range(0, len(images), BATCH):
        pictures: dict[str, Picture] = {}
        encoded: dict[str, bytes] = {}
        digests: dict[str, str] = {}
        for image in images[start : start + BATCH]:
            place, name, _ = image
            try:
                data = _read(reader, place, name)
                picture = predictor.prepare(data)
                if isinstance(picture, DataError):
                    raise picture
            except DataError as error:
                found.unreadable.append((name, error.what))
                continue
            content = bytes_sha256(data)
            encoded[name], digests[name] = data, content
            if content in seen:
                found.copies.append(name)
            else:
                seen.add(content)
                pictures[name] = picture
                found.profiled.append(image)
        if pictures:
            pixels = np.stack([picture.image for picture in pictures.values()])
            parts.append(profile(predictor.model, predictor.tasks, predictor.statistics, pixels))
        if answered:
            for name, row in zip(encoded, predictor.predict(list(encoded.values())), strict=True):
                found.answers[name] = Answered(digests[name], row)
    found.profile = profiles.join(parts) if parts else None
    return found


def drawn(predictor: Predictor, images: Sequence[tuple[str, str, str]]) -> list[tuple[str, bytes]]:
    """[name, PNG] of each image with what the model says of it; one that has gone since it was looked at is left out.

    Raises:
        StageError: a bucket or a server does not give an image.
    """
    reader, found = Reader(), list[tuple[str, bytes]]()
    for place, name, _ in images:
        try:
            data = _read(reader, place, name)
            (row,) = predictor.predict([data])
        except DataError:
            continue
        found.append((name, drawn_as_png(predictor, data, row)))
    return found


def _read(reader: Reader, place: str, name: str) -> bytes:
    try:
        return reader.read(place, name)
    except DataError as error:
        if "://" in place:
            raise StageError(error.what, found=error.found, fix="look again: mtl monitor") from error
        raise

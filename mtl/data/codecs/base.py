"""What a codec of shards is, and what decodes a whole batch: here on the CPU, elsewhere on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np


class ImageCodec(ABC):
    """Encodes one image, and decodes it without being told anything but its shape and type."""

    name: ClassVar[str]
    on_devices: ClassVar[tuple[int, ...]] = ()
    """Numbers of channels of images that `mtl.data.codecs.device` decodes."""

    @abstractmethod
    def encode(self, values: np.ndarray) -> bytes:
        """[height, width, …] → its code; the same values give the same bytes with the same libraries."""

    @abstractmethod
    def decode(self, code: np.ndarray, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """The code, uint8 [bytes], → values of the shape and type that they had.

        Raises:
            ValueError: it is not a code of such values.
        """


def as_grey(values: np.ndarray) -> np.ndarray:
    """Any values of pixels as a grey picture: [height, width, …] → uint8 [height, planes · width], a plane per byte of a pixel."""
    height, width = values.shape[:2]
    plain = np.ascontiguousarray(values).view(np.uint8).reshape(height, width, -1)
    return np.ascontiguousarray(plain.transpose(0, 2, 1)).reshape(height, -1)


def from_grey(picture: np.ndarray, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """What `as_grey` was given."""
    height, width = shape[:2]
    plain = picture.reshape(height, -1, width).transpose(0, 2, 1)
    return np.ascontiguousarray(plain).reshape(height, -1).view(dtype).reshape(shape)

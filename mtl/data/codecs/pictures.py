"""JPEG, WebP and PNG, by OpenCV: its decoders are fast and let other threads work meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from mtl.data.codecs.base import ImageCodec, as_grey, from_grey


class _Picture(ImageCodec):
    """Three channels of bytes are red, green and blue; all else becomes a grey picture."""

    suffix: ClassVar[str]

    def __init__(self, *options: int) -> None:
        self._options = options

    def encode(self, values: np.ndarray) -> bytes:
        coloured = _is_coloured(values.shape, values.dtype)
        picture = cv2.cvtColor(values, cv2.COLOR_RGB2BGR) if coloured else as_grey(values)
        done, code = cv2.imencode(self.suffix, picture, self._options)
        assert done
        return code.tobytes()

    def decode(self, code: np.ndarray, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        coloured = _is_coloured(shape, dtype)
        picture = cv2.imdecode(code, cv2.IMREAD_COLOR_RGB if coloured else cv2.IMREAD_GRAYSCALE)
        if picture is None or picture.size != int(np.prod(shape)) * dtype.itemsize or len(picture) != shape[0]:
            found = "nothing" if picture is None else f"a picture of {picture.shape}"
            raise ValueError(f"{self.name} of {tuple(shape)} {dtype} gave {found}")
        return picture if coloured else from_grey(picture, shape, dtype)


class Jpeg(_Picture):
    """4:2:0, as cameras and web pages have it; what nvJPEG decodes, too (`mtl/data/codecs/device.py`)."""

    name, suffix = "jpeg", ".jpg"
    on_devices = (1, 3)  # of others the planes lie beside each other

    def __init__(self, quality: int = 90) -> None:
        super().__init__(cv2.IMWRITE_JPEG_QUALITY, quality)


class Webp(_Picture):
    """Lossy WebP."""

    name, suffix = "webp", ".webp"

    def __init__(self, quality: int = 90) -> None:
        super().__init__(cv2.IMWRITE_WEBP_QUALITY, quality)


class Lossless(_Picture):
    """PNG at its fastest: WebP's lossless form is a third smaller and took ten times as long to write."""

    name, suffix = "lossless", ".png"

    def __init__(self) -> None:
        super().__init__(cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def _is_coloured(shape: Sequence[int], dtype: np.dtype) -> bool:
    return dtype == np.uint8 and len(shape) == 3 and shape[2] == 3

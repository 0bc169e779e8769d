"""How the pixels of prepared images are coded in shards, and decoded again: a row in the table each."""

from __future__ import annotations

from mtl.config.codec import JpegCodec, LosslessCodec, RawCodec, WebpCodec
from mtl.data.codecs.base import ImageCodec
from mtl.data.codecs.pictures import Jpeg, Lossless, Webp

CODECS: dict[str, type[ImageCodec]] = {codec.name: codec for codec in (Jpeg, Webp, Lossless)}
"""Name in a shard's header → what decodes it."""


def encoder(config: RawCodec | JpegCodec | WebpCodec | LosslessCodec) -> ImageCodec | None:
    """What encodes the images as `data.codec` says; None where they stay as they are."""
    if isinstance(config, RawCodec):
        return None
    if isinstance(config, LosslessCodec):
        return Lossless()
    return Jpeg(config.quality) if isinstance(config, JpegCodec) else Webp(config.quality)

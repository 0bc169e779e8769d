"""`data.codec:` how the pixels of prepared images lie in their shards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Section

Quality = Annotated[int, Field(ge=1, le=100)]


class RawCodec(Section):
    """Bytes as they are, mapped into memory: nothing to decode."""

    type: Literal["raw"]


class JpegCodec(Section):
    """JPEG: a tenth of the bytes of a photograph, decoded whenever it is read; other pixels than the operations gave."""

    type: Literal["jpeg"]
    quality: Quality = Field(default=90, description="1 to 100")


class WebpCodec(Section):
    """WebP: less than JPEG takes, three times slower to decode; other pixels than the operations gave."""

    type: Literal["webp"]
    quality: Quality = Field(default=90, description="1 to 100")


class LosslessCodec(Section):
    """PNG: about half the bytes of a photograph, decoded whenever it is read; the pixels that the operations gave."""

    type: Literal["lossless"]


Codec = Annotated[RawCodec | JpegCodec | WebpCodec | LosslessCodec, Field(discriminator="type")]

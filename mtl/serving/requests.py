"""What a request may ask, checked before any pixel is decoded: each refusal has a status, what was found and a fix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from mtl.codecs.header import read_header
from mtl.errors import DataError
from mtl.serving.documents import images_of_json
from mtl.serving.limits import FIX, Limits, Refused

UNSAID = ("", "application/x-www-form-urlencoded")
"""Content types of who said none: curl's --data-binary has the second. What came is told by its first bytes."""


async def read_body(
    stream: AsyncIterator[bytes], declared: str | None, limits: Limits, hold: Callable[[int], None] = lambda _: None
) -> bytes:
    """The body; one that is too large is refused before it is held.

    Args:
        hold: is told how many bytes there are more, and may refuse.

    Raises:
        Refused: it is too large or empty, or takes too long.
    """
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read_body(stream, declared, limits, hold)
    except TimeoutError:
        fix = f"send it within {limits.body_seconds:g} s"
        raise Refused(408, "the request came too slowly", found="not all of its body", fix=fix) from None


async def _read_body(
    stream: AsyncIterator[bytes], declared: str | None, limits: Limits, hold: Callable[[int], None]
) -> bytes:
    too_large = Refused(
        413, "the request is too large", found=declared or "more", fix=f"at most {limits.body_bytes} bytes"
    )
    if declared is not None and declared.isdecimal() and int(declared[:20]) > limits.body_bytes:
        raise too_large
    parts: list[bytes] = []
    total = 0
    async for part in stream:
        total += len(part)
        if total > limits.body_bytes:
            raise too_large
        hold(len(part))
        parts.append(part)
    if not total:
        raise Refused(400, "the request is empty", fix=FIX)
    return b"".join(parts)


def images_of(content_type: str, body: bytes, limits: Limits) -> tuple[list[bytes], int]:
    """The encoded images of a request, and the pixels of all of them.

    Raises:
        Refused: it is neither an image nor JSON with images, or asks for too much.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or (kind in UNSAID and body.lstrip()[:1] == b"{"):
        images = images_of_json(body, limits)
    elif kind.startswith("image/") or kind in ("application/octet-stream", *UNSAID):
        images = [body]
    else:
        raise Refused(415, "this content type is not taken", found=kind[:100], fix=FIX)
    pixels = 0
    for index, image in enumerate(images):
        pixels += _check(index, image, limits)
        if pixels > limits.request_pixels:
            fix = f"at most {limits.request_pixels} in a request"
            raise Refused(413, "the images are too large together", found=f"{pixels} pixels", fix=fix)
    return images, pixels


def _check(index: int, image: bytes, limits: Limits) -> int:
    """Its pixels."""
    if len(image) > limits.image_bytes:
        fix = f"at most {limits.image_bytes} bytes"
        raise Refused(413, f"image {index} is too large", found=f"{len(image)} bytes", fix=fix)
    try:
        header = read_header(image, limits.pixels)
    except DataError as error:
        status = 413 if "too large" in error.what else 400
        raise Refused(status, f"image {index}: {error.what}", found=error.found[:200], fix=FIX) from error
    return header.width * header.height

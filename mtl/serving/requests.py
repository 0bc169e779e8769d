"""What a request may ask, checked before any pixel is decoded: each refusal has a status, what was found and a fix."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from mtl.config import DataError
from mtl.data.header import read_header


@dataclass(frozen=True)
class Limits:
    """Of one request; and of all that one process holds at a time, of which a caller may have a share."""

    body_bytes: int = 32 * 2**20
    image_bytes: int = 16 * 2**20
    pixels: int = 25_000_000
    images: int = 64
    request_pixels: int = 100_000_000
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 120.0
    held_bytes: int = 512 * 2**20
    held_pixels: int = 800_000_000
    held_requests: int = 4096
    share: float = 0.25


PARTS = 1000
"""Of a document, at most: commas, brackets."""


class Refused(Exception):
    """A request that cannot be answered, and why."""

    def __init__(self, status: int, what: str, *, found: str = "", fix: str = "") -> None:
        self.status, self.body = status, {"error": {"what": what, "found": found, "fix": fix}}
        super().__init__(what)


FIX = 'send an encoded image (PNG, JPEG …) as the body, or {"images": ["<base64>", …]} as application/json'


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
    if kind == "application/json":
        images = _of_json(body, limits)
    elif kind.startswith("image/") or kind in ("application/octet-stream", ""):
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


def _of_json(body: bytes, limits: Limits) -> list[bytes]:
    # Counted before it is parsed, which nothing can interrupt; base64 has none of these characters.
    parts = max(body.count(mark) for mark in (b",", b"[", b"{", b":"))
    if parts > PARTS:
        raise Refused(413, "too many images, or none", found=f"{parts} parts", fix=f"1 to {limits.images}")
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is not JSON", found=str(error)[:200], fix=FIX) from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or set(document) != {"images"}:
        found = f"keys {sorted(map(str, document))[:5]}" if isinstance(document, dict) else type(document).__name__
        raise Refused(400, "the body has no list `images`, or more than it", found=found[:200], fix=FIX)
    if not 1 <= len(images) <= limits.images:
        raise Refused(
            413 if images else 400, "too many images, or none", found=str(len(images)), fix=f"1 to {limits.images}"
        )
    decoded: list[bytes] = []
    for index, text in enumerate(images):
        try:
            if not isinstance(text, str):
                raise ValueError(f"it is {type(text).__name__}")
            decoded.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise Refused(400, f"image {index} is not base64", found=str(error)[:200], fix=FIX) from error
    return decoded


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

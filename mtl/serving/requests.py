"""What a request may ask, checked before any pixel is decoded: each refusal has a status, what was found and a fix."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from mtl.config import DataError
from mtl.data.header import read_header


@dataclass(frozen=True)
class Limits:
    """Of one request."""

    body_bytes: int = 32 * 2**20
    image_bytes: int = 16 * 2**20
    pixels: int = 25_000_000
    images: int = 64


class Refused(Exception):
    """A request that cannot be answered, and why."""

    def __init__(self, status: int, what: str, *, found: str = "", fix: str = "") -> None:
        self.status, self.body = status, {"error": {"what": what, "found": found, "fix": fix}}
        super().__init__(what)


FIX = 'send an encoded image (PNG, JPEG …) as the body, or {"images": ["<base64>", …]} as application/json'


async def read_body(stream: AsyncIterator[bytes], declared: str | None, limits: Limits) -> bytes:
    """The body; one that is too large is refused before it is held.

    Raises:
        Refused: it is too large or empty.
    """
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
        parts.append(part)
    if not total:
        raise Refused(400, "the request is empty", fix=FIX)
    return b"".join(parts)


def images_of(content_type: str, body: bytes, limits: Limits) -> list[bytes]:
    """The encoded images of a request.

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
    for index, image in enumerate(images):
        _check(index, image, limits)
    return images


def _of_json(body: bytes, limits: Limits) -> list[bytes]:
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


def _check(index: int, image: bytes, limits: Limits) -> None:
    if len(image) > limits.image_bytes:
        fix = f"at most {limits.image_bytes} bytes"
        raise Refused(413, f"image {index} is too large", found=f"{len(image)} bytes", fix=fix)
    try:
        header = read_header(image)
    except DataError as error:
        status = 413 if "too large" in error.what else 400
        raise Refused(status, f"image {index}: {error.what}", found=error.found[:200], fix=FIX) from error
    if header.width * header.height > limits.pixels:
        found = f"{header.width}×{header.height} pixels"
        raise Refused(413, f"image {index} is too large", found=found, fix=f"at most {limits.pixels} pixels")

"""Images of a megabyte that keep a library busy for minutes, or take all memory, before a pixel is decoded."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from mtl.codecs.header import read_header
from mtl.errors import DataError
from tests.data.small_sets import encoded

SIZE = 4 << 20
"""Bytes of an attack; an endpoint takes four times as many."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _behind(kind: str, place: int, part: bytes) -> Callable[[], bytes]:
    def make() -> bytes:
        plain = encoded(1, kind=kind)
        at = place if place >= 0 else len(plain) + place
        return plain[:at] + part * (SIZE // len(part)) + plain[at:]

    return make


def _gif(part: bytes) -> Callable[[], bytes]:
    def make() -> bytes:
        plain = encoded(1, kind="GIF")
        at = 13 + (3 << ((plain[10] & 7) + 1) if plain[10] & 128 else 0)
        return plain[:at] + part * (SIZE // len(part)) + plain[at:]

    return make


def _tags(count: int, strips: int = 0) -> bytes:
    """A TIFF whose tags all say the same bytes, or that has so many strips."""
    tags = [struct.pack("<HHII", 256, 4, 1, 8), struct.pack("<HHII", 257, 4, 1, 8)]
    tags += [struct.pack("<HHII", 1000 + n, 1, SIZE // 2, 8) for n in range(count)]
    tags += [struct.pack("<HHII", 273, 4, strips, 8)] if strips else []
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(tags)).ljust(SIZE, b"\0")


def _exif_of_tags() -> bytes:
    tags = b"".join(struct.pack("<HHII", 1000 + n, 1, 60_000, 8) for n in range(5000))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 5000) + tags
    plain = encoded(1, kind="JPEG")
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]


def _exif_of_a_webp() -> bytes:
    tags = b"".join(struct.pack("<HHII", 1000 + n, 1, SIZE // 2, 8) for n in range(4000))
    exif = (b"II*\0" + struct.pack("<IH", 8, 4000) + tags).ljust(SIZE, b"\0")
    return encoded(1, kind="WEBP", exif=b"Exif\0\0" + exif)


def _scans() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2000, 2000)).save(buffer, "JPEG", progressive=True)
    plain = buffer.getvalue()
    at = plain.rindex(b"\xff\xda")
    return plain[:at] + plain[at:-2] * 400 + plain[-2:]


EXIF = b"\xff\xe1\0\x0aExif\0\0XX"
PACKED = _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20), 9))
IMAGES: dict[str, Callable[[], bytes]] = {
    "a JPEG of EXIF segments": _behind("JPEG", 2, EXIF),
    "a JPEG of comments": _behind("JPEG", 2, b"\xff\xfe\0\2"),
    "a JPEG of padding": _behind("JPEG", 2, b"\xff"),
    "a JPEG of scans": _scans,
    "a JPEG whose EXIF tags all say the same": _exif_of_tags,
    "a WebP whose EXIF tags all say the same": _exif_of_a_webp,
    "a PNG of empty chunks": _behind("PNG", 33, _chunk(b"abCd", b"")),
    "a PNG of packed colour profiles": _behind("PNG", 33, PACKED),
    "a PNG of empty pixels": _behind("PNG", -12, _chunk(b"IDAT", b"")),
    "a GIF of comments": _gif(b"\x21\xfe\1x\0"),
    "a GIF of one comment": _gif(b"\x21\xfe\xff" + b"x" * 255 + b"\0"),
    "a GIF of strange bytes": _gif(b"\1"),
    "a TIFF whose tags all say the same": lambda: _tags(500),
    "a TIFF of strips": lambda: _tags(0, SIZE // 4),
    "a JPEG 2000 of boxes": _behind("JPEG2000", 12, struct.pack(">I", 8) + b"free"),
    "a PPM of spaces": lambda: b"P6" + b" " * SIZE,
}


@pytest.mark.attack(boundary="data supplier", attack="images of more parts than any image")
@pytest.mark.parametrize("name", IMAGES)
def test_images_of_many_parts(name: str) -> None:
    data = IMAGES[name]()
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_header(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 3.0  # of which most is counting memory
    assert most < 4 * SIZE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "BMP", "PPM"])
@pytest.mark.parametrize("size", [(32, 24), (1500, 1000)])
def test_ordinary_images_are_read(kind: str, size: tuple[int, int]) -> None:
    options: dict[str, Any] = {"progressive": True} if kind == "JPEG" else {}
    header = read_header(encoded(2, size, kind, **options))
    assert (header.width, header.height) == size


def test_a_photograph_with_all_that_cameras_add_is_read() -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif[270] = "x" * 40_000
    profile = bytes(200_000)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        header = read_header(encoded(2, (64, 48), kind, exif=exif, icc_profile=profile))
        assert header.orientation == 6, kind

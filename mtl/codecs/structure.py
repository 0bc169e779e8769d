"""How an encoded image is put together, looked at before a library reads it: libraries take minutes, or gigabytes, for a
million empty segments, or for tags that all say the same megabytes. No camera and no program writes such files.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mtl.errors import DataError

SEGMENTS = 1024
"""Of a JPEG, chunks of a PNG that are no pixels, boxes of a JPEG 2000: a colour profile and a long description take 300."""
SCANS = 100
"""Of a JPEG, for each of which a decoder goes through the whole image; encoders write 10 to 15."""
EXIF_SEGMENTS = 16
PADDING = 1 << 16
"""Bytes between two parts that belong to none."""
TAGS = 4096
STRIPS = 300_000
"""Of a TIFF: tiles of 16×16 of the largest image."""
_FEW = 4096
_SMALL = 64
"""Bytes that a part has at least on the average, where there are more than a few."""

_TAG_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_OF_STRIPS = {273, 279, 324, 325}
_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd7])")
_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def refuse_bomb(data: bytes) -> None:
    """Nothing, of an encoded image, or of its beginning, that a library can read in a second.

    Raises:
        DataError: it has more parts than any image.
    """
    for mark, look in _LOOKS.items():
        if data.startswith(mark):
            look(data)
            return
    if data[4:8] in (b"jP  ", b"ftyp"):
        _boxes(data, 0, len(data))
    elif data[8:12] == b"WEBP":
        _webp(data)


def refuse_tags(exif: bytes) -> None:
    """Nothing, of the tags of a TIFF or of EXIF's that say no more than there are bytes.

    Raises:
        DataError: they say more, or are too many.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:2] not in (b"II", b"MM"):
        return

    def number(offset: int, size: int) -> int:
        return int.from_bytes(exif[offset : offset + size], "little" if exif[:2] == b"II" else "big")

    # Of BigTIFF, numbers are of 8 bytes.
    of_count, of_entry, of_value = (8, 20, 8) if number(2, 2) == 43 else (2, 12, 4)
    start = number(of_value, of_value)
    count = number(start, of_count)
    _at_most(count, TAGS, "tags")
    said = 0
    for offset in range(start + of_count, start + of_count + count * of_entry, of_entry):
        tag, kind, length = number(offset, 2), number(offset + 2, 2), number(offset + 4, of_value)
        _at_most(length if tag in _OF_STRIPS else 0, STRIPS, "strips")
        said += min(length * _TAG_SIZES.get(kind, 1), len(exif))
    _at_most(said, 2 * len(exif) + PADDING, "bytes of tags")


def _at_most(found: int, allowed: int, what: str) -> None:
    if found > allowed:
        raise DataError(
            "an image has more parts than any image",
            found=f"{found} {what}; {allowed} are allowed",
            fix="save it anew: it may have been made to keep its reader busy",
        )


def _jpeg(data: bytes) -> None:
    offset, segments, scans, frame, exif = 2, 0, 0, (0, 0), list[bytes]()
    while found := _MARKER.search(data, offset):
        marker = found[1][0]
        _at_most(0 if scans else found.end() - offset, PADDING, "bytes between segments")
        if marker == _EOI:
            break
        segments += 1
        _at_most(segments, SEGMENTS, "segments")
        begin = found.end()
        offset = begin + max(int.from_bytes(data[begin : begin + 2], "big"), 2)
        if marker in _FRAMES:
            frame = (marker, data[begin + 7] if begin + 7 < len(data) else 0)
        elif marker == _APP1 and data[begin + 2 : begin + 8] == b"Exif\0\0":
            exif.append(data[begin + 8 : offset])
            _at_most(len(exif), EXIF_SEGMENTS, "segments of EXIF")
        elif marker == _SOS:
            scans += 1
            _at_most(scans, SCANS, "scans")
            if frame[0] not in _PROGRESSIVE and data[begin + 2 : begin + 3] == bytes([frame[1]]):
                break  # all components are in it, and decoders end after it
    refuse_tags(b"".join(exif))


def _png(data: bytes) -> None:
    offset, chunks, others = 8, 0, 0
    while offset + 8 <= len(data):
        chunks += 1
        others += data[offset + 4 : offset + 8] not in (b"IDAT", b"fdAT", b"fcTL")
        _at_most(others, SEGMENTS // 4, "chunks")  # of which each may hold a megabyte that is packed
        _at_most(chunks, _FEW + len(data) // (4 * _SMALL), "chunks")
        offset += 12 + int.from_bytes(data[offset : offset + 4], "big")


def _gif(data: bytes) -> None:
    """Up to the second image, which is looked for."""

    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 128 else 0

    if len(data) < 13:
        return
    offset, blocks, images, strange, beside = 13 + table(data[10]), 0, 0, 0, 0
    while offset + 10 < len(data) and images < 2:
        kind = data[offset]
        if kind == 0x3B:
            return
        if kind not in (0x21, 0x2C):
            strange += 1
            _at_most(strange, PADDING, "bytes between blocks")
            offset += 1
            continue
        images += kind == 0x2C
        before = offset
        offset += 2 if kind == 0x21 else 11 + table(data[offset + 9])
        while offset < len(data) and data[offset]:
            offset += data[offset] + 1
            blocks += 1
            _at_most(blocks, _FEW + len(data) // _SMALL, "blocks")
        beside += offset - before if kind == 0x21 else 0
        _at_most(beside, 16 * PADDING, "bytes beside pixels")
        offset += 1


def _webp(data: bytes) -> None:
    offset, chunks = 12, 0
    while offset + 8 <= len(data):
        chunks += 1
        _at_most(chunks, _FEW + len(data) // _SMALL, "chunks")
        size = int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8 + size + size % 2


def _boxes(data: bytes, offset: int, end: int) -> None:
    boxes = 0
    while offset + 8 <= end:
        boxes += 1
        _at_most(boxes, SEGMENTS, "boxes")
        size, kind, head = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[offset + 8 : offset + 16], "big"), 16
        size = size or end - offset
        if kind == b"jp2h":
            _boxes(data, offset + head, min(offset + size, end))
        elif kind == b"jp2c":
            _codestream(data[offset + head : offset + size])
        offset += max(size, head)


def _codestream(data: bytes) -> None:
    """Markers of a JPEG 2000 before its first tile."""
    offset, markers = 2, 0
    while data[offset : offset + 1] == b"\xff" and data[offset : offset + 2] != b"\xff\x90":
        markers += 1
        _at_most(markers, SEGMENTS, "markers")
        offset += 2 + max(int.from_bytes(data[offset + 2 : offset + 4], "big"), 2)


_LOOKS: dict[bytes, Callable[[bytes], None]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"II": refuse_tags,
    b"MM": refuse_tags,
    b"\xff\x4f\xff\x51": _codestream,
}

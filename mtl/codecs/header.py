"""What an encoded image says of itself, read before any pixel is decoded."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from mtl.codecs.netpbm import netpbm_header
from mtl.codecs.structure import refuse_bomb, refuse_tags
from mtl.errors import DataError

MAX_PIXELS = 64_000_000
"""Pixels of the largest image that is decoded: above it, a file is taken for a decompression bomb."""

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""Format → the extensions that its files have. HEIF is known by name, and refused."""

IMAGES = tuple(dict.fromkeys(suffix for suffixes in SUFFIXES.values() for suffix in suffixes))
"""Extensions, in lower case, of the files that are taken for images."""

_READ = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000")
_LOSSY_TIFF = {"tiff_jpeg", "jpeg", "webp", "tiff_sgilog", "tiff_sgilog24"}
_ORIENTATION, _WIDTH, _HEIGHT, _BITS, _SAMPLE_FORMAT, _PHOTOMETRIC, _LARGEST = 274, 256, 257, 258, 339, 262, 281
_WHOLE_NUMBERS = 1
_CODESTREAM = b"\xff\x4f\xff\x51"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class Header(NamedTuple):
    """What a file declares of its first image."""

    width: int
    """In pixels, as stored: before it is turned as `orientation` says."""
    height: int
    orientation: int
    """As EXIF counts it, 1 to 8, in whatever way the container says it."""
    format: str
    """A key of `SUFFIXES`."""
    maximum: int
    """The largest value that a sample can have: 255, or 1 to 65535; 0 of signed and fractional ones."""
    significant_bits: int
    """Of each sample, where it says that some are filling: sBIT of a PNG; else 16."""
    lossless: bool
    """Whether the decoded values are for certain those that were saved."""
    has_more: bool
    """Whether further images follow, which are not read: pages, frames."""


def read_header(data: bytes, largest: int | None = None) -> Header:
    """Read an image's header; a PNG's checksums too, for decoders would fill a damaged one with grey.

    Args:
        largest: pixels of the largest image that is taken, if not MAX_PIXELS.

    Raises:
        DataError: not an image, damaged, too large, or in a format that is not decoded.
    """
    if not data:
        raise DataError("an image is empty", found="0 bytes")
    refuse_bomb(data)
    largest = MAX_PIXELS if largest is None else largest
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _netpbm(data, largest) or _read(data, largest)
        except DataError:
            raise
        except UnidentifiedImageError as error:  # whose own words are an address in memory
            raise _unknown(data) from error
        except Exception as error:  # whatever PIL makes of damage
            raise DataError("an image cannot be decoded", found=f"{type(error).__name__}: {error}") from error


def _netpbm(data: bytes, largest: int) -> Header | None:
    found = netpbm_header(data)
    if found is None:
        return None
    _refuse_large(found.width, found.height, largest)
    return Header(found.width, found.height, 1, "PPM", found.maximum, 16, lossless=True, has_more=False)


def _read(data: bytes, largest: int) -> Header:
    with Image.open(io.BytesIO(data), formats=_READ) as image:
        kind = image.format or ""
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        # PIL gives a TIFF's size as a viewer shows it.
        width, height = (tags[_WIDTH], tags[_HEIGHT]) if kind == "TIFF" else image.size
        _refuse_large(width, height, largest)
        bits = _significant_bits(data) if kind == "PNG" else 16
        maximum = _maximum(kind, image, tags, data)
        lossless, has_more = _keeps_values(kind, image, data), bool(getattr(image, "is_animated", False))
        if kind == "PNG":
            image.verify()  # after it, nothing else can be asked
        orientation = 1 if kind == "PNG" else _orientation(image)
    if kind == "PNG" and any(mark in data for mark in (b"eXIf", b"exif", b"XML:com.adobe.xmp")):
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if "exif" not in image.info:  # what it says of its orientation may stand behind its pixels
                image.load()
            orientation = _orientation(image)
    orientation = orientation if orientation in range(1, 9) else 1
    return Header(width, height, orientation, kind, maximum, bits, lossless, has_more)


def _orientation(image: Image.Image) -> Any:
    """As EXIF or XMP say it; tags that would take gigabytes are not read."""
    exif, packed = image.info.get("exif", b""), image.info.get("Raw profile type exif", "")
    refuse_tags(exif if exif or not packed else bytes.fromhex("".join(packed.split("\n")[3:])))
    return image.getexif().get(_ORIENTATION, 1)


def _refuse_large(width: int, height: int, largest: int) -> None:
    if width * height > largest:
        raise DataError("an image is too large", found=f"{width}×{height} pixels; {largest} are allowed")


def _keeps_values(kind: str, image: Image.Image, data: bytes) -> bool:
    if kind == "TIFF":
        return image.info.get("compression") not in _LOSSY_TIFF
    return _is_lossless_webp(data) if kind == "WEBP" else kind in ("PNG", "GIF", "BMP")


def _is_lossless_webp(data: bytes) -> bool:
    """By the first chunk that holds pixels; one of an animation may be of either kind."""
    offset = 12
    while offset + 8 <= len(data) and data[offset : offset + 4] not in (b"VP8 ", b"VP8L", b"ANMF"):
        size = int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8 + size + size % 2
    return data[offset : offset + 4] == b"VP8L"


def _maximum(kind: str, image: ImageFile.ImageFile, tags: Mapping[int, Any], data: bytes) -> int:
    if kind == "TIFF":
        if set(_numbers(tags.get(_SAMPLE_FORMAT, _WHOLE_NUMBERS))) != {_WHOLE_NUMBERS}:
            return 0
        stored = 2 ** max(_numbers(tags.get(_BITS, 1))) - 1
        # Some writers put the image's own largest value there, which is no range: they are not of the form 2^n − 1.
        largest = max(_numbers(tags.get(_LARGEST, stored)))
        return largest if stored == 0xFFFF and 0xFF < largest < stored and not largest & (largest + 1) else stored
    if kind == "JPEG2000":
        offset = data.find(_CODESTREAM)
        sizes = data[offset + 42 : offset + 42 + 3 * int.from_bytes(data[offset + 40 : offset + 42], "big") : 3]
        return 2 ** (max(sizes) + 1) - 1 if sizes and max(sizes) < 38 else 0  # the upper bit says that it is signed
    if image.mode == "1":
        return 1
    bits = re.search(r";(\d+)", str(image.tile[0].args)) if kind == "PNG" else None
    return 2 ** int(bits[1]) - 1 if bits else 255


def _significant_bits(png: bytes) -> int:
    found = next((body for name, body in _chunks(png) if name == b"sBIT"), b"")
    return max(found, default=16)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of a PNG, those before its pixels."""
    offset = 8
    while offset + 8 <= len(png) and png[offset + 4 : offset + 8] != b"IDAT":
        size = int.from_bytes(png[offset : offset + 4], "big")
        yield png[offset + 4 : offset + 8], png[offset + 8 : offset + 8 + size]
        offset += 12 + size


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def _unknown(data: bytes) -> DataError:
    """Why PIL does not know it, for it does not say."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        return DataError("an image is HEIC, which is not decoded", found=_beginning(data), fix="save it as JPEG or PNG")
    if data[:4] in (b"II*\0", b"MM\0*"):
        fix = "save it as PNG, or as TIFF of 8 or 16 bits, grey or RGB"
        return DataError("a TIFF has samples of a kind that is not decoded", found=_samples_of(data), fix=fix)
    if data[:2] == b"\xff\xd8":
        fix = "save it anew; JPEGs of 12 bits and lossless ones are not decoded"
        return DataError("a JPEG is damaged, or of a kind that is not decoded", found=_beginning(data), fix=fix)
    return DataError("an image cannot be decoded: no known format", found=_beginning(data))


def _beginning(data: bytes) -> str:
    return f"{len(data)} bytes beginning {data[:8].hex(' ')}"


def _samples_of(data: bytes) -> str:
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        bits, kinds = _numbers(tags.get(_BITS, 1)), _numbers(tags.get(_SAMPLE_FORMAT, _WHOLE_NUMBERS))
        return f"bits {bits[:8]}, sample format {kinds[:8]}, photometric {tags.get(_PHOTOMETRIC)}"
    except Exception:  # whatever PIL makes of damage
        return _beginning(data)

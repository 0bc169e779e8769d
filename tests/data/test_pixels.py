"""Encoded images become what a person sees, in every container, mode and orientation; or a refusal says why not."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mtl.codecs import header, rasters
from mtl.codecs.header import IMAGES, SUFFIXES, read_header
from mtl.codecs.pixels import decode
from mtl.codecs.rasters import read_raster, turned, turned_vectors
from mtl.config.operations import Decode, Orient, Resize
from mtl.data.prepare.operations import Picture, run
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

SMALL = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8)
PHOTO = np.asarray(Image.fromarray(SMALL).resize((20, 14), Image.Resampling.BICUBIC))
OPACITY = np.kron(np.array([[0, 90], [255, 255]], np.uint8), np.ones((7, 10), np.uint8))
CONTAINERS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {}),
    "JPEG progressive": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "PNG transparent index": ("PNG", {"transparency": 3}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "WEBP": ("WEBP", {}),
    "WEBP lossless": ("WEBP", {"lossless": True}),
    "TIFF": ("TIFF", {}),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF packbits": ("TIFF", {"compression": "packbits"}),
    "TIFF JPEG": ("TIFF", {"compression": "jpeg"}),
    "PPM": ("PPM", {}),
    "AVIF": ("AVIF", {}),
    "JPEG2000": ("JPEG2000", {}),
}
TURNS = {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"}
"""Formats that can say how an image is turned."""

UNWRITTEN = {  # by PIL
    "JPEG": {"LA", "P", "RGBA", "I;16"},
    "TIFF JPEG": {"1", "P", "I;16"},
    "PNG": {"CMYK"},
    "GIF": {"CMYK"},
    "BMP": {"LA", "CMYK", "I;16"},
    "PPM": {"LA", "P", "CMYK"},
    "JPEG2000": {"1", "P"},
}


def images() -> dict[str, Image.Image]:
    photo = Image.fromarray(PHOTO)
    return {
        "1": photo.convert("1"),
        "L": photo.convert("L"),
        "LA": Image.fromarray(np.dstack([PHOTO[..., 0], OPACITY]), "LA"),
        "P": photo.quantize(16),
        "RGB": photo,
        "RGBA": Image.fromarray(np.dstack([PHOTO, OPACITY])),
        "CMYK": photo.convert("CMYK"),
        "I;16": Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257),
    }


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def shown(data: bytes) -> np.ndarray:
    """What PIL makes of it, on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        grey = np.round(np.asarray(image) / 257).astype(np.uint8)
        return np.dstack([grey] * 3)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def prepared(data: bytes, **how: Any) -> np.ndarray:
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=data, **how)
    return run((Decode(type="decode"), Orient(type="orient")), picture).image


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_mode_and_orientation_is_what_a_viewer_shows(container: str) -> None:
    kind, how = CONTAINERS[container]
    unwritten = UNWRITTEN.get(container, set()) | UNWRITTEN.get(kind, set())
    modes = {"P": images()["P"]} if "index" in container else images()
    for (mode, image), orientation in itertools.product(modes.items(), range(1, 9) if kind in TURNS else [1]):
        if mode in unwritten:
            continue
        data = encoded(image, kind, **how, **({"exif": exif(orientation)} if kind in TURNS else {}))
        found = read_header(data)
        assert (found.height, found.width) == PHOTO.shape[:2] == decode(data).shape[:2], (mode, orientation)
        assert (found.format, found.has_more) == (kind, False)
        if (kind, mode) != ("AVIF", "P"):  # PIL drops it in writing
            assert found.orientation == orientation
        wanted, pixels = shown(data), prepared(data)
        assert pixels.dtype == np.uint8
        assert pixels.shape == wanted.shape, (mode, orientation)
        difference = np.abs(pixels.astype(int) - wanted).max()
        assert difference <= (1 if mode == "CMYK" else 0), (mode, orientation)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_xmp_alone_says_is_applied(kind: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        data = encoded(PHOTO, kind, pnginfo=text)
    else:
        data = encoded(PHOTO, kind, xmp=xmp)
    assert read_header(data).orientation == 6
    assert (prepared(data) == shown(data)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_colours_of_16_bits_are_turned_once(kind: str, orientation: int) -> None:
    deep = deep_png(PHOTO.astype(np.uint16) * 257, 2, [(b"eXIf", exif(orientation).tobytes()[6:])])
    if kind == "TIFF":
        deep = tiff(PHOTO.astype(np.uint16) * 257, {274: orientation})
    assert read_header(deep).orientation == orientation
    assert (decode(deep) == PHOTO).all()
    assert (prepared(deep) == turned(PHOTO, orientation)).all()


def deep_png(values: np.ndarray, kind: int, more: list[tuple[bytes, bytes]] | None = None) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), *(more or []), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: np.ndarray, tags: dict[int, Any] | None = None, body: bytes | None = None) -> bytes:
    """Of any samples: PIL writes few kinds."""
    channels = values.shape[2] if values.ndim == 3 else 1
    numbers = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    body = values.tobytes() if body is None else body
    directory = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    directory[256], directory[257] = values.shape[1], values.shape[0]
    directory[258] = (values.dtype.itemsize * 8,) * channels
    directory[259], directory[262], directory[277] = 1, 2 if channels > 2 else 1, channels
    directory[278], directory[279], directory[339] = values.shape[0], len(body), (numbers,) * channels
    for tag, value in (tags or {}).items():
        directory[tag] = value
    directory[273] = 0  # PIL adds where the directory ends
    return b"II*\0\x08\0\0\0" + directory.tobytes(8) + body


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_full_16_bits_are_scaled_to_8(kind: str, channels: int) -> None:
    deep = PHOTO[..., :channels].astype(np.uint16) * 257
    grey = deep[..., 0] if channels == 1 else deep
    made = {
        "PNG": lambda: deep_png(deep, 0 if channels == 1 else 2),
        "TIFF": lambda: tiff(grey),
        "PPM": lambda: (b"P5 " if channels == 1 else b"P6 ") + b"20 14 65535\n" + deep.astype(">u2").tobytes(),
    }
    assert (decode(made[kind]()) == PHOTO[..., [0, 0, 0] if channels == 1 else [0, 1, 2]]).all()


def used(bits: int) -> np.ndarray:
    """uint16 [14, 20] that reach from 0 to the largest value of so many bits."""
    values = (PHOTO[..., 0].astype(np.float64) / 255 * (2**bits - 1)).astype(np.uint16)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    return values


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_unused_bits_of_16_need_a_setting(kind: str, bits: int) -> None:
    values = used(bits)
    netpbm = b"P5 20 14 65535\n" + values.astype(">u2").tobytes()
    data = netpbm if kind == "PPM" else encoded(values, kind)
    with pytest.raises(DataError, match=f"largest value {2**bits - 1} of 65535") as caught:
        decode(data)
    assert f"{bits} if the camera has {bits} bits" in caught.value.fix
    found = decode(data, bits=bits)
    assert np.abs(found[..., 0] - values / (2**bits - 1) * 255).max() <= 0.5
    assert decode(data, bits=16).max() == round(255 * (2**bits - 1) / 65535)
    with pytest.raises(DataError, match=f"more than {bits - 1} bits"):
        decode(data, bits=bits - 1)
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=data)
    assert (run([Decode(type="decode", bits=bits)], picture).image == found).all()


def test_a_black_image_is_black_whatever_its_bits() -> None:
    assert decode(encoded(np.zeros((4, 5), np.uint16))).max() == 0


def test_bits_that_a_file_declares_are_read() -> None:
    values = used(12)
    wanted = np.round(values / 4095 * 255)
    grey = values[..., None]
    declared = {
        "largest value of a PGM": b"P5 20 14 4095\n" + values.astype(">u2").tobytes(),
        "MaxSampleValue of a TIFF": tiff(values, {281: (4095,)}),
        "BitsPerSample of a TIFF": tiff(values, {258: (12,)}, packed_12(values)),
        "sBIT of a PNG, in the lower bits": deep_png(grey, 0, [(b"sBIT", b"\x0c")]),
        "sBIT of a PNG, in the upper bits": deep_png(grey * 16, 0, [(b"sBIT", b"\x0c")]),
    }
    for name, data in declared.items():
        assert np.abs(decode(data)[..., 0] - wanted).max() <= 1, name
    with pytest.raises(DataError, match="largest value 4095"):  # of this image, and no range
        decode(tiff(values, {281: (4000,)}))
    with pytest.raises(DataError, match="larger value than it declares"):
        decode(tiff(values, {281: (1023,)}))


def packed_12(values: np.ndarray) -> bytes:
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(*values.shape, 2), axis=2)[..., 4:]
    return np.packbits(bits.reshape(len(values), -1), axis=1).tobytes()


JPEG2000_OF_12_BITS = bytes.fromhex(
    "ff4fff5100290000000000040000000200000000000000000000000400000002000000000000000000010b0101ff52000c00000001000004040001"
    "ff5c00044060ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e34ff90000a00000000001e0001ff93"
    "dfe03406f8e274ed69ebf8a745bf5cbcffd9"
)


def test_a_jpeg_2000_of_12_bits_reaches_white() -> None:
    found = decode(JPEG2000_OF_12_BITS, "grey")[..., 0]
    assert found.tolist() == [[0, 255, 128, 62], [255, 0, 0, 0]]
    assert read_header(JPEG2000_OF_12_BITS).maximum == 4095


@pytest.mark.parametrize("dtype", ["float32", "int16", "int32", "float64", "uint32"])
def test_samples_without_a_known_range_are_refused_by_name(dtype: str) -> None:
    for values in (PHOTO[..., 0].astype(dtype), PHOTO.astype(dtype)):
        with pytest.raises(DataError, match=r"range nobody declares|of a kind that is not decoded") as caught:
            decode(tiff(values))
        assert caught.value.fix


def test_transparent_pixels_are_white_whatever_lies_below() -> None:
    hidden = np.dstack([PHOTO, np.zeros(PHOTO.shape[:2], np.uint8)])
    for kind in ("PNG", "WEBP", "TIFF", "AVIF"):
        assert decode(encoded(hidden, kind)).min() == 255, kind
    deep = np.dstack([PHOTO, OPACITY]).astype(np.uint16) * 257
    wanted = PHOTO * (OPACITY[..., None] / 255) + 255 - OPACITY[..., None].astype(float)
    for data in (deep_png(deep, 6), tiff(deep, {338: (2,)}), encoded(np.dstack([PHOTO, OPACITY]))):
        assert np.abs(decode(data) - wanted).max() <= 1
    multiplied = (deep[..., :3] * (deep[..., 3:] / 65535)).astype(np.uint16)
    assert np.abs(decode(tiff(np.dstack([multiplied, deep[..., 3]]), {338: (1,)})) - wanted).max() <= 2
    assert (decode(tiff(deep, {338: (0,)})) == PHOTO).all()  # a fourth channel that is no opacity
    keyed = deep_png(deep[..., :1], 0, [(b"tRNS", deep[3, 4, :1].astype(">u2").tobytes())])
    assert (decode(keyed)[..., 0] == np.where(PHOTO[..., 0] == PHOTO[3, 4, 0], 255, PHOTO[..., 0])).all()


def test_white_is_zero_in_some_tiffs() -> None:
    for values in (PHOTO[..., 0], PHOTO[..., 0].astype(np.uint16) * 257):
        assert (decode(tiff(values, {262: 0}))[..., 0] == 255 - PHOTO[..., 0]).all()


def test_planes_of_a_tiff_are_joined_or_refused() -> None:
    planes = np.moveaxis(PHOTO, 2, 0)
    for values, bits in ((planes, 8), (planes.astype(np.uint16) * 257, 16)):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, photometric="rgb", planarconfig="separate")
        if bits == 8:
            assert (decode(buffer.getvalue()) == PHOTO).all()
        else:
            with pytest.raises(DataError, match="separate planes"):
                decode(buffer.getvalue())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"P1\n# comment\n3 2\n010\n1 1 0", [[255, 0, 255], [0, 0, 255]]),
        (b"P2 3 1 # comment\n4\n0 2 # two\n4\n", [[0, 128, 255]]),
        (b"P4\n10 1\n\x80\x40", [[0, *[255] * 8, 0]]),
        (b"P5 2 1 100\n\x00\x64", [[0, 255]]),
    ],
)
def test_netpbm_is_scaled_by_what_it_declares(text: bytes, wanted: list[list[int]]) -> None:
    assert decode(text, "grey")[..., 0].tolist() == wanted
    assert (decode(b"P3 1 2 255 1 2 3 4 5 6") == [[[1, 2, 3]], [[4, 5, 6]]]).all()


@pytest.mark.parametrize(
    "text",
    [b"P1 3 2 01011", b"P1 2 1 02", b"P2 2 1 9 1", b"P2 2 1 9 1 # 2", b"P2 2 1 9 1 x", b"P2 2 1 9 1 10", b"P2 2 1 9 -1 2",
     b"P4 9 1 \0", b"P5 2 1 9 \0", b"P5 2 1 9 \0\12", b"P5 2 1 999 \0\0\0", b"P6 1 1 255 \0\0", b"P5 0 1 9 ", b"P5 1 1 70000 \0\0"],
)  # fmt: skip
def test_netpbm_that_contradicts_itself_is_refused(text: bytes) -> None:
    with pytest.raises(DataError):
        decode(text)


def test_a_large_netpbm_is_scaled_whole() -> None:
    image = decode(b"P6 2000 1000 254\n" + b"\xfe" * 6_000_000)
    assert image.shape == (1000, 2000, 3)
    assert (image == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "AVIF"])
def test_the_first_of_several_frames_is_read(kind: str) -> None:
    """The header says that there are more."""
    how = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
    black = np.zeros_like(PHOTO)
    data = encoded(black, kind, save_all=True, append_images=[Image.fromarray(black + 255)], **how)
    assert read_header(data).has_more
    assert decode(data).max() == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_what_is_too_large_is_refused_before_it_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(PHOTO, kind, **({"exif": exif(6)} if kind in TURNS else {}))
    monkeypatch.setattr(header, "MAX_PIXELS", 279)
    monkeypatch.setattr(cv2, "imdecode", lambda *given: pytest.fail("decoded"))
    monkeypatch.setattr(Image.core, "new", lambda *given: pytest.fail("decoded"))
    for read in (read_header, decode, read_raster):
        with pytest.raises(DataError, match="20×14 pixels; 279 are allowed"):
            read(data)


def test_what_is_not_decoded_is_named() -> None:
    heic = b"\0\0\0\x18ftypheic" + bytes(100)
    with pytest.raises(DataError, match="HEIC, which is not decoded"):
        decode(heic)
    jpeg = bytearray(encoded(PHOTO, "JPEG"))
    jpeg[jpeg.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(DataError, match="JPEG is damaged, or of a kind") as caught:
        decode(bytes(jpeg))
    assert "12 bits" in caught.value.fix
    for text in (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"8BPS\0\1" + bytes(40)):
        with pytest.raises(DataError, match="no known format"):
            decode(text)


def test_a_decoder_that_gives_another_size_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "_read", lambda data, found: rasters.Raster(PHOTO[1:], found))
    with pytest.raises(DataError, match="20×13, declared 20×14"):
        decode(encoded(PHOTO))


def test_every_extension_is_an_image_in_any_case(tmp_path: Path) -> None:
    assert set(IMAGES) == {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    asked = [
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "gif",
        "bmp",
        "webp",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "pbm",
        "pnm",
        "avif",
        "jp2",
        "j2k",
        "heic",
        "heif",
    ]
    for place, name in enumerate(asked):
        (tmp_path / f"{place}.{name.upper() if place % 2 else name}").touch()
    (tmp_path / "notes.txt").touch()
    assert len(FileTree(str(tmp_path)).images()) == len(asked)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_fits_its_image_as_stored_or_as_shown(orientation: int) -> None:
    data = encoded(PHOTO, "JPEG", exif=exif(orientation))
    mask = (PHOTO[..., 0] > 120).astype(np.uint8)
    wanted = turned(mask, orientation)
    for given in (mask, wanted) if orientation > 4 else (wanted,):
        picture = Picture(
            image=np.zeros((0, 0, 0), np.uint8), encoded=data, masks={"m": given}, maps={"d": given * 1.0}
        )
        run((Decode(type="decode"), Orient(type="orient")), picture)
        assert (picture.masks["m"] == wanted).all()
        assert (picture.maps["d"] == wanted).all()
        run((Resize(type="resize", height=7, width=7),), picture)
        assert picture.masks["m"].shape == picture.maps["d"].shape == (7, 7)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_normals_turn_with_the_surface_that_they_stand_on(orientation: int) -> None:
    def normals(height: np.ndarray) -> np.ndarray:
        down, right = np.gradient(height)
        return np.dstack([-right, -down, np.ones_like(height)])

    height = cv2.resize(np.random.default_rng(1).random((3, 4)), (20, 14), interpolation=cv2.INTER_CUBIC)
    found = turned_vectors(normals(height), orientation)
    assert np.allclose(found, normals(turned(height, orientation)))

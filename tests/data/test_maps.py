"""Masks, depths and normals: what a file holds is what is read, or its refusal says why."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from pydantic import ValidationError

from mtl.codecs.maps import (
    MAX_VALUES,
    decode_depth,
    decode_mask,
    decode_normals,
    encode_depth,
    encode_normals,
    mask_values,
)
from mtl.codecs.rasters import turned_vectors
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

INDICES = np.random.default_rng(0).integers(0, 4, (6, 10)).astype(np.uint8)
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [255, 255, 255]], np.uint8)
NAMES = ("#000000", "#800000", "#008000", "#ffffff")


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """PIL writes grey of 1, 8 and 16 bits alone."""
    flat = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
    rows = np.packbits(flat.reshape(len(values), -1), axis=1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def palette_image() -> Image.Image:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(COLOURS.tobytes())
    return image


@pytest.mark.parametrize(("bits", "classes"), [(1, 2), (2, 4), (4, 16), (8, 40)])
def test_a_mask_of_few_bits_has_the_indices_that_are_stored(bits: int, classes: int) -> None:
    wanted = np.random.default_rng(bits).integers(0, classes, (5, 7))
    assert (decode_mask(grey_png(wanted, bits), classes) == wanted).all()
    assert (decode_mask(grey_png(wanted, bits), 200) == wanted).all()
    assert set(mask_values(grey_png(wanted, bits)).values) == set(np.unique(wanted).tolist())


def test_the_highest_value_of_few_bits_is_not_ignored() -> None:
    assert decode_mask(grey_png(np.array([[0, 3]]), 2), 4).tolist() == [[0, 3]]
    assert decode_mask(grey_png(np.array([[0, 1]]), 1), 2).tolist() == [[0, 1]]
    with pytest.raises(DataError, match="15 in 1 of 2 pixels"):
        decode_mask(grey_png(np.array([[0, 15]]), 4), 4)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes_give_indices_or_colours_if_asked(kind: str) -> None:
    data = encoded(palette_image(), kind)
    assert (decode_mask(data, 4) == INDICES).all()
    assert (decode_mask(data, 4, NAMES[::-1]) == 3 - INDICES).all()
    found = mask_values(data)
    assert found.kind == "palette"
    assert dict(found.colours) == dict(enumerate(NAMES))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_colours_are_matched_exactly(kind: str) -> None:
    data = encoded(COLOURS[INDICES], kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert (decode_mask(data, 4, NAMES) == INDICES).all()
    wanted = np.where(INDICES == 2, 255, np.minimum(INDICES, 2))
    assert (decode_mask(data, 3, (NAMES[0], NAMES[1], NAMES[3]), ("#008000",)) == wanted).all()
    found = mask_values(data)
    assert (found.kind, found.lossless, found.num_values) == ("colour", True, 4)
    assert found.values == dict(zip(NAMES, np.bincount(INDICES.ravel()).tolist(), strict=True))


def test_a_colour_that_is_no_class_is_named_with_its_pixels() -> None:
    data = encoded(COLOURS[INDICES])
    number = int((INDICES == 2).sum())
    with pytest.raises(DataError, match=f"#008000 in {number} of 60 pixels") as caught:
        decode_mask(data, 3, (NAMES[0], NAMES[1], NAMES[3]))
    assert "ignored" in caught.value.fix
    with pytest.raises(DataError, match="has colours, not class indices") as caught:
        decode_mask(data, 4)
    assert "'#800000'" in caught.value.fix


def test_grey_saved_as_colour_is_grey() -> None:
    data = encoded(np.dstack([INDICES] * 3))
    assert (decode_mask(data, 4) == INDICES).all()
    assert mask_values(data).kind == "grey"


def test_values_map_classes_and_255_is_ignored_unless_listed() -> None:
    mask = np.array([[0, 128, 255]], np.uint8)
    assert decode_mask(encoded(mask), 2, (0, 128)).tolist() == [[0, 1, 255]]
    assert decode_mask(encoded(mask), 3, (255, 128, 0)).tolist() == [[2, 1, 0]]
    assert decode_mask(encoded(mask), 2, (0, 255), (128,)).tolist() == [[0, 255, 1]]
    with pytest.raises(DataError, match="128 in 1 of 3 pixels"):
        decode_mask(encoded(mask), 2, (0, 255))


@pytest.mark.parametrize("white", [1, 3])
def test_black_and_white_of_two_classes_is_not_taken_for_unknown(white: int) -> None:
    """A set of 0 and 255 would have no pixel of its second class, and nobody would be told."""
    mask = np.array([[0, 0, 0]], np.uint8)
    mask[0, :white] = 255
    for classes in (1, 2):
        with pytest.raises(DataError, match="what white is"):
            decode_mask(encoded(mask), classes)
    assert (decode_mask(encoded(mask), 2, (0, 255)) == mask // 255).all()
    assert (decode_mask(encoded(mask), 2, (), (255,)) == mask).all()
    assert (decode_mask(encoded(mask), 3) == mask).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_a_compression_that_changes_values_is_refused_by_name(kind: str) -> None:
    mask = np.kron(INDICES // 2 * 255, np.ones((4, 4), np.uint8))
    data = encoded(np.dstack([mask] * 3), kind)
    assert not mask_values(data).lossless
    for values in ((0, 255), ("#000000", "#ffffff")):
        with pytest.raises(DataError, match=rf"saved as {kind}, which may change values"):
            decode_mask(data, 2, values)
    with pytest.raises(DataError, match="saved as TIFF"):
        decode_mask(encoded(mask, "TIFF", compression="jpeg"), 2, (0, 255))


@pytest.mark.parametrize(
    ("dtype", "kind"), [("uint16", "PNG"), ("uint16", "TIFF"), ("int32", "TIFF"), ("uint16", "PPM")]
)
def test_large_ids_are_refused_unless_they_are_named(dtype: str, kind: str) -> None:
    ids = np.array([0, 7, 26001, 26002], dtype)[INDICES]
    with pytest.raises(DataError, match="value that is no class"):
        decode_mask(encoded(ids, kind), 30)
    assert (decode_mask(encoded(ids, kind), 4, (0, 7, 26001, 26002)) == INDICES).all()
    assert set(mask_values(encoded(ids, kind)).values) == {0, 7, 26001, 26002}


def test_ids_beyond_24_bits_are_told_apart() -> None:
    ids = np.array([0, 2**24, 2**24 + 1, 2**31 - 1], np.int32)[INDICES]
    assert (decode_mask(encoded(ids, "TIFF"), 4, (0, 2**24, 2**24 + 1, 2**31 - 1)) == INDICES).all()


def test_whole_floats_are_indices_and_others_are_refused() -> None:
    assert (decode_mask(encoded(INDICES.astype(np.float32), "TIFF"), 4) == INDICES).all()
    for broken in (0.5, np.nan):
        with pytest.raises(DataError, match="not whole"):
            decode_mask(encoded(INDICES + np.float32(broken), "TIFF"), 4)


def test_transparency_of_a_mask() -> None:
    colours = COLOURS[INDICES]
    opaque = np.full((*INDICES.shape, 1), 255, np.uint8)
    assert (decode_mask(encoded(np.dstack([colours, opaque])), 4, NAMES) == INDICES).all()
    hidden = np.dstack([colours, np.where(INDICES == 0, 0, 255).astype(np.uint8)])
    assert (decode_mask(encoded(hidden), 4, ("transparent", *NAMES[1:])) == INDICES).all()
    assert "transparent" in mask_values(encoded(hidden)).values
    with pytest.raises(DataError, match="transparent in"):
        decode_mask(encoded(hidden), 4, NAMES)
    with pytest.raises(DataError, match="transparent"):
        decode_mask(encoded(np.dstack([INDICES, hidden[..., 3]])), 4)
    hidden[0, 0, 3] = 100
    with pytest.raises(DataError, match="transparent in part"):
        decode_mask(encoded(hidden), 4, ("transparent", *NAMES[1:]))
    see_through = palette_image()
    assert (decode_mask(encoded(see_through, transparency=0), 4) == INDICES).all()
    assert (decode_mask(encoded(see_through, transparency=0), 4, ("transparent", *NAMES[1:])) == INDICES).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_mask_is_turned_once_as_its_own_file_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(np.dstack([INDICES] * 3), kind, exif=exif, **how)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))[..., 0]
    assert (decode_mask(data, 4) == wanted).all()


@pytest.mark.parametrize(
    ("values", "ignored", "message"),
    [
        ((0, "#ffffff"), (), "all numbers, or all colours"),
        ((0, 0), (), "twice"),
        (("#FFFFFF", "#ffffff"), (), "twice"),
        ((0, 255), (255,), "twice"),
        ((0,), (), "2 classes"),
        ((0, -1), (), "greater"),
        (("white", "#000000"), (), "match"),
    ],
)
def test_values_that_contradict_themselves(values: tuple[Any, ...], ignored: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TargetSpec(kind="mask", classes=("a", "b"), values=values, ignored=ignored)


DEPTH = np.array([[0, 1, 1000], [2500, 40000, 65535]], np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_depth_is_whole_steps(kind: str) -> None:
    found = decode_depth(encoded(DEPTH, kind), 0.001)
    assert found.dtype == np.float32
    assert np.isnan(found[0, 0])
    assert np.allclose(found.ravel()[1:], DEPTH.ravel()[1:] * 0.001, rtol=1e-6)


def test_what_is_known_of_a_depth_is_never_written_as_unknown() -> None:
    depth = np.array([[np.nan, 0.0, 1e-5, 0.02, 70.0, np.inf]])
    found = decode_depth(encode_depth(depth, 0.001), 0.001)
    np.testing.assert_allclose(found, [[np.nan, 0.001, 0.001, 0.02, 65.535, 65.535]], rtol=1e-6)


def test_pgm_depth_is_not_scaled_to_its_declared_maximum() -> None:
    steps = DEPTH // 8
    assert decode_depth(b"P5 3 2 10000\n" + steps.astype(">u2").tobytes(), 1.0)[1, 2] == 65535 // 8


def test_depth_of_fractions_is_distances() -> None:
    data = encoded(np.array([[1.5, 0.0], [np.nan, -1.0]], np.float32), "TIFF")
    assert np.array_equal(decode_depth(data, 1.0), [[1.5, np.nan], [np.nan, np.nan]], equal_nan=True)
    with pytest.raises(DataError, match=r"fractions[\s\S]*scale 0\.001[\s\S]*scale: 1"):
        decode_depth(data, 0.001)


def test_what_is_a_picture_of_depth_is_refused() -> None:
    for image, kind in (
        (INDICES, "PNG"),
        (COLOURS[INDICES], "PNG"),
        (INDICES, "JPEG"),
        (np.kron(DEPTH, DEPTH), "JPEG2000"),
    ):
        with pytest.raises(DataError, match="not grey of 16 bits"):
            decode_depth(encoded(image, kind), 1.0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_depth_and_normals_are_turned_as_their_own_file_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(DEPTH, exif=exif)))))
    for kind in ("PNG", "TIFF"):
        assert (np.nan_to_num(decode_depth(encoded(DEPTH, kind, exif=exif), 1.0)) == wanted).all()
    stored = Image.open(io.BytesIO(encode_normals(DIRECTIONS)))
    found = decode_normals(encoded(stored, exif=exif))
    assert np.allclose(found, turned_vectors(DIRECTIONS, orientation), atol=0.01)


DIRECTIONS = np.random.default_rng(2).normal(size=(5, 8, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=2, keepdims=True)


def test_normals_of_8_and_16_bits() -> None:
    assert np.abs(decode_normals(encode_normals(DIRECTIONS)) - DIRECTIONS).max() < 0.01
    deep = np.round((DIRECTIONS + 1) * 32767.5).astype(np.uint16)
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    assert np.abs(decode_normals(data) - DIRECTIONS).max() < 1e-4


def test_pixels_without_a_direction_are_not_known() -> None:
    colours = np.round((DIRECTIONS + 1) * 127.5).astype(np.uint8)
    colours[0, 0], colours[0, 1] = 0, 128
    opacity = np.full((*colours.shape[:2], 1), 255, np.uint8)
    opacity[0, 2] = 0
    found = decode_normals(encoded(np.dstack([colours, opacity])))
    assert np.isnan(found[0, :3]).all()
    assert np.isfinite(found[1:]).all()


def test_what_holds_no_normals_is_refused() -> None:
    photograph = np.random.default_rng(3).integers(60, 200, (16, 16, 3), np.uint8)
    cases = (
        (INDICES, "PNG", "not a PNG of colours"),
        (photograph, "JPEG", "not a PNG"),
        (photograph, "PNG", "no unit"),
    )
    for image, kind, message in cases:
        with pytest.raises(DataError, match=message):
            decode_normals(encoded(image, kind))


def test_a_palette_that_is_seen_through_is_still_indices() -> None:
    data = encoded(palette_image(), transparency=bytes([0, 128, 255, 255]))
    assert (decode_mask(data, 4) == INDICES).all()
    found = mask_values(data)
    assert found.kind == "palette"
    assert (found.colours[0], found.colours[1]) == ("transparent", "#800000")
    with pytest.raises(DataError, match="transparent in part"):
        decode_mask(data, 4, ("transparent", *NAMES[1:]))


def test_a_mask_cannot_have_more_classes_than_it_can_tell_apart() -> None:
    assert decode_mask(encoded(INDICES), 255).max() == 3
    with pytest.raises(DataError, match="more classes"):
        decode_mask(encoded(INDICES), 257)


def test_a_photograph_has_more_values_than_are_named() -> None:
    photograph = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    found = mask_values(encoded(photograph))
    assert len(found.values) == MAX_VALUES < found.num_values

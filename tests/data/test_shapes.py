"""Annotated objects in the picture's own pixels, whatever frame they were drawn in."""

from __future__ import annotations

from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mtl.codecs.header import Header, read_header
from mtl.codecs.maps import decode_mask
from mtl.data.formats.shapes import Frame, Shape, Targets, placement, settle, shown_size
from mtl.data.kinds.box_table import CROWD
from mtl.errors import DataError

BOTH = Targets("objects", "regions")


def header(width: int, height: int, orientation: int = 1) -> Header:
    """Of a JPEG of this size, as stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = BytesIO()
    Image.new("RGB", (width, height)).save(data, "JPEG", exif=exif)
    return read_header(data.getvalue())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_objects_of_the_stored_picture_turn_with_it(orientation: int) -> None:
    """Pillow turns the picture; the box must lie where the rectangle then is, and the mask's pixels too."""
    stored = np.zeros((30, 50), np.uint8)
    stored[4:9, 10:30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = BytesIO()
    Image.fromarray(stored).save(data, "PNG", exif=exif)
    with Image.open(data) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    found = read_header(data.getvalue())
    shape = Shape("a", 0, (10.0, 4.0, 30.0, 9.0), mask=lambda _h, _w: (stored > 0).astype(np.uint8))
    frame = Frame(50, 30) if orientation >= 5 else Frame()
    if orientation < 5:  # of these the size does not tell the frame: it is the one that a viewer shows
        ys, xs = np.nonzero(shown)
        shape = Shape(
            "a",
            0,
            (xs.min(), ys.min(), xs.max() + 1.0, ys.max() + 1.0),
            mask=lambda _h, _w: (shown > 0).astype(np.uint8),
        )
    settled = settle("i", [shape], frame, found, BOTH)
    ys, xs = np.nonzero(shown)
    assert settled.targets["objects"] == [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.0]]
    assert (decode_mask(settled.targets["regions"], 3) == (shown > 0)).all()


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(20, 400),
    height=st.integers(20, 400),
    factor=st.sampled_from([0.25, 0.5, 0.8, 1.0, 2.0, 3.3]),
    x=st.floats(0, 0.7),
    y=st.floats(0, 0.7),
)
def test_a_picture_that_was_resized_after_it_was_annotated(
    width: int, height: int, factor: float, x: float, y: float
) -> None:
    declared = Frame(max(1, round(width * factor)), max(1, round(height * factor)))
    box = (x * declared.width, y * declared.height, (x + 0.2) * declared.width, (y + 0.2) * declared.height)  # type: ignore[operator]
    settled = settle("i", [Shape("a", 1, box)], declared, header(width, height), Targets("o", None))
    ((x1, y1, x2, y2, label),) = settled.targets["o"]
    assert (x1, y1, x2, y2) == pytest.approx((x * width, y * height, (x + 0.2) * width, (y + 0.2) * height), abs=1e-6)
    assert label == 1.0
    assert bool(settled.notes) == ((declared.width, declared.height) != (width, height))


def test_an_image_of_another_shape_is_refused() -> None:
    """A size of nothing is none, and refuses nothing."""
    small = header(60, 40)
    with pytest.raises(DataError, match="640×480"):
        placement(small, Frame(640, 480), Counter())
    for nothing in (Frame(), Frame(0, 0), Frame(60, 40)):
        assert (placement(small, nothing, Counter()) == [[1, 0, 0], [0, 1, 0]]).all()
    assert shown_size(header(60, 40, 6)) == (40, 60)


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((10, 10, 30, 20), [10, 10, 30, 20]),
        ((50, 10, 61, 20), [50, 10, 60, 20]),
        ((-7, -3, 20, 20), [0, 0, 20, 20]),
        ((50, 10, 69, 20), [50, 10, 60, 20]),
        ((55, 10, 80, 20), "outside the picture"),
        ((70, 10, 80, 20), "outside the picture"),
        ((10, 10, 10, 20), "no area"),
        ((30, 20, 10, 10), "no area"),
        ((float("nan"), 10, 10, 20), "not finite"),
    ],
)
def test_border_boxes_are_clipped_and_bad_ones_skipped(box: tuple[float, ...], wanted: list[float] | str) -> None:
    good = Shape("b", 0, (1.0, 2.0, 9.0, 9.0))
    settled = settle("i", [Shape("line 3", 2, box), good], Frame(), header(60, 40), Targets("o", None), "a.txt")  # type: ignore[arg-type]
    assert settled.targets["o"][-1] == [1, 2, 9, 9, 0]
    if isinstance(wanted, str):
        assert len(settled.targets["o"]) == 1
        (problem,) = settled.problems
        assert wanted in problem.reason
        assert "a.txt, line 3" in problem.reason
        assert problem.loses == "annotation"
    else:
        assert settled.targets["o"][0] == [*wanted, 2]
        assert not settled.problems


def test_small_masks_lie_above_and_crowds_are_unknown() -> None:
    """So is what has no outline."""
    large = Shape("l", 0, polygons=[[0, 0, 40, 0, 40, 30, 0, 30]])
    small = Shape("s", 1, polygons=[[10, 10, 20, 10, 20, 20, 10, 20]])
    crowd = Shape("c", 0, polygons=[[30, 0, 60, 0, 60, 40, 30, 40]], kind=CROWD)
    bare = Shape("b", 1, (50.0, 30.0, 60.0, 40.0))
    broken = Shape("x", 1, (0.0, 30.0, 8.0, 38.0), polygons=[[1, 31, 2, 32]])
    settled = settle("i", [small, large, crowd, bare, broken], Frame(), header(60, 40), BOTH)
    mask = decode_mask(settled.targets["regions"], 3)
    assert mask[15, 15] == 2
    assert mask[5, 5] == 1
    assert mask[5, 35] == 1
    assert mask[5, 50] == 255
    assert (mask[30:40, 50:60] == 255).all()
    assert (mask[30:38, :8] == 255).all()
    assert mask[38, 15] == 0
    assert [row[5] for row in settled.targets["objects"]] == [0, 0, CROWD, 0, 0]
    assert [p.loses for p in settled.problems] == ["annotation"]

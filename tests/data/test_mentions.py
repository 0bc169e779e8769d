"""What an annotation calls an image, and the file that is meant."""

from __future__ import annotations

import unicodedata

import pytest

from mtl.data.formats.mentions import Files
from mtl.errors import DataError

FILES = Files(
    [
        "images/train/a.jpg",
        "images/val/a.jpg",
        "images/train/Größe.png",
        "b.one.jpg",
        "x/y/IMG_7.JPG",
        "z/1.jpg",
        "z/1.png",
    ]
)


@pytest.mark.parametrize(
    ("mention", "near", "wanted"),
    [
        ("images/train/a.jpg", "", "images/train/a.jpg"),
        ("./images/val/a.jpg", "", "images/val/a.jpg"),
        ("images\\train\\a.jpg", "", "images/train/a.jpg"),
        ("C:\\Users\\me\\set\\images\\val\\a.jpg", "", "images/val/a.jpg"),
        ("/home/me/set/train/a.jpg", "", "images/train/a.jpg"),
        ("file:///content/val/a.jpg", "", "images/val/a.jpg"),
        ("a.jpg", "images/val", "images/val/a.jpg"),
        ("../val/a.jpg", "images/train", "images/val/a.jpg"),
        ("a.jpg", "labels/../images/train", "images/train/a.jpg"),
        (unicodedata.normalize("NFD", "Größe.png"), "", "images/train/Größe.png"),
        (" img_7.jpg ", "", "x/y/IMG_7.JPG"),
        ("IMG_7", "", "x/y/IMG_7.JPG"),
        ("IMG_7.png", "", "x/y/IMG_7.JPG"),
        ("b.one", "", "b.one.jpg"),
        ("1.png", "", "z/1.png"),
    ],
)
def test_the_file_that_is_meant(mention: str, near: str, wanted: str) -> None:
    assert FILES.find(mention, near) == wanted


@pytest.mark.parametrize(
    ("mention", "message"),
    [
        ("a.jpg", "may be several"),
        ("1", "may be several"),
        ("b", "is not there"),
        ("c.jpg", "is not there"),
        ("  ", "names no"),
    ],
)
def test_what_nothing_tells_is_said(mention: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FILES.find(mention)


def test_a_declared_folder_is_obeyed() -> None:
    assert FILES.at("images//train/./a.jpg") == "images/train/a.jpg"
    with pytest.raises(DataError, match="is not there"):
        FILES.at("train/a.jpg")

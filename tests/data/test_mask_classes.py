"""What masks' values mean: by a file that names classes, or by themselves. Never two classes for one another."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.paired import NUMBER, PLAIN, WHITE, Codes, Tree, tree

__all__ = ["tree"]
VOC_PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
RGBA: Codes = {"background": (0, 0, 0, 255), "colour_ff0000": (255, 0, 0, 255)}


def draw(tree: Tree, codes: Codes, palette: tuple[int, ...] = (), ending: str = "png") -> None:
    """Twenty pairs in images/ and masks/."""
    for i in range(NUMBER):
        tree.pair(f"images/{i}.jpg", f"masks/{i}.{ending}", i, codes, palette)


def again(tree: Tree, i: int, pixels: np.ndarray, palette: tuple[int, ...] = ()) -> None:
    """Another mask in the place of one."""
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(palette)
    image.save(tree.root / f"masks/{i}.png")


def mask(tree: Tree, i: int) -> np.ndarray:
    return np.array(Image.open(tree.root / f"masks/{i}.png"))


READ: dict[str, Codes] = {
    "0 and 1": {"background": 0, "class_1": 1},
    "0 and 255": WHITE,
    "0 and 128": {"background": 0, "object": 128},
    "0 to 2": PLAIN,
    "0 to 2, and 255 at borders": {**PLAIN, "": 255},
    "from 1": {"class_1": 1, "class_2": 2, "class_3": 3},
    "10, 20, 30": {"background": 10, "value_20": 20, "value_30": 30},
    "16 bits": {"background": 0, "value_1000": 1000, "value_2000": 2000},
    "colours": {"background": (0, 0, 0), "colour_00ff00": (0, 255, 0), "colour_ff0000": (255, 0, 0)},
    "grey as three channels": {"background": (0, 0, 0), "class_1": (1, 1, 1), "class_2": (2, 2, 2)},
    "colours that can be seen": RGBA,
    "nothing where it is transparent": {"background": (0, 0, 0, 0), "colour_ff0000": (255, 0, 0, 255)},
}


@pytest.mark.parametrize("name", READ)
def test_values_that_nobody_names(name: str, tree: Tree) -> None:
    draw(tree, READ[name])
    if name == "nothing where it is transparent":
        read = tree.read()
        assert read.sets["masks"]["values"] == ("transparent", "#ff0000")
        return
    tree.check()


@pytest.mark.parametrize("palette", [(0, 0, 0, 128, 0, 0, 0, 128, 0), (0, 0, 0, 9, 9, 9, 9, 9, 9)])
def test_palette_indices_count_and_not_their_colours(palette: tuple[int, ...], tree: Tree) -> None:
    draw(tree, PLAIN, palette)
    tree.check()


def test_white_is_the_object_whatever_its_index(tree: Tree) -> None:
    draw(tree, {"object": 0, "background": 1}, (255, 255, 255, 0, 0, 0))
    tree.check()


def test_palettes_that_differ_are_read_by_their_colours(tree: Tree) -> None:
    draw(tree, WHITE)
    for i in range(NUMBER):
        white = mask(tree, i) == 255
        palette = (0, 0, 0, 200, 9, 9) if i % 2 else (200, 9, 9, 0, 0, 0)
        again(tree, i, (white if i % 2 else ~white).astype(np.uint8), palette)
    tree.drawn = {name: np.where(seen == "object", "colour_c80909", seen) for name, seen in tree.drawn.items()}
    tree.check()


def test_differing_palettes_need_names_with_colours(tree: Tree) -> None:
    tree.text("classes.txt", "background\ncat\n")
    draw(tree, WHITE)
    for i in range(NUMBER):
        white = mask(tree, i) == 255
        again(
            tree,
            i,
            (white if i % 2 else ~white).astype(np.uint8),
            (0, 0, 0, 200, 9, 9) if i % 2 else (200, 9, 9, 0, 0, 0),
        )
    tree.refused("masks' palettes differ, and classes.txt says no colours")


def test_some_masks_with_a_palette_and_some_without(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"images/{i}.jpg", f"masks/{i}.png", i, PLAIN, VOC_PALETTE if i % 2 else ())
    tree.check()


def test_1_in_some_masks_and_255_in_others_is_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"images/{i}.jpg", f"masks/{i}.png", i, {"background": 0, "object": 255 if i % 2 else 1})
    tree.refused("1 for the object in some, 255 in others")


def test_one_value_is_refused(tree: Tree) -> None:
    draw(tree, {"background": 0})
    tree.refused("masks have one value only")


def test_smooth_edges_are_refused(tree: Tree) -> None:
    draw(tree, WHITE)
    for i in range(NUMBER):
        large = Image.fromarray(mask(tree, i)).resize((64, 48), Image.Resampling.BICUBIC)
        again(tree, i, np.array(large.resize((32, 24), Image.Resampling.BICUBIC)))
    tree.refused("masks have ")


def test_numbers_of_objects_are_no_classes(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/{i}.jpg", i)
        pixels = np.zeros((24, 32), np.uint8)
        for number in range(1, 2 + i % 6):
            pixels[3 * number : 3 * number + 2, i : i + 5] = number
        (tree.root / "masks").mkdir(exist_ok=True)
        again(tree, i, pixels)
    tree.refused("masks count objects")


THREE: Codes = {"background": 0, "cat": 1, "dog": 2}
COLOURS: Codes = {"background": (0, 0, 0), "cat": (200, 0, 0), "dog": (0, 200, 0)}
FILES: dict[str, tuple[str, Codes]] = {
    "classes.txt": ("background\ncat\ndog\n", THREE),
    "labels.txt": ("0: background\n2: dog\n1: cat\n", THREE),
    "codes.txt": ("Background\ncat\ndog\n", {"Background": 0, "cat": 1, "dog": 2}),
    "classes.names": ("", THREE),
    "id2label.json": (json.dumps({"0": "background", "2": "dog", "1": "cat"}), THREE),
    "label2id.json": (json.dumps({"dog": 2, "background": 0, "cat": 1}), THREE),
    "classes.json": (json.dumps({"dog": [0, 200, 0], "cat": [200, 0, 0], "background": [0, 0, 0]}), COLOURS),
    "labels.json": (json.dumps([{"id": i, "name": n} for i, n in ((2, "dog"), (0, "background"), (1, "cat"))]), THREE),
    "palette.json": (
        json.dumps(
            [{"title": n, "color": c} for n, c in (("background", "#000000"), ("cat", "#C80000"), ("dog", "#00C800"))]
        ),
        COLOURS,
    ),
    "dataset_meta.json": (json.dumps({"label_map": {"0": "background", "1": "cat", "2": "dog"}}), THREE),
    "class_dict.csv": ("name,r,g,b\nbackground,0,0,0\ndog,0,200,0\ncat,200,0,0\n", COLOURS),
    "label_class_dict.csv": ("name, r, g, b\nbackground, 0, 0, 0\ncat, 200, 0, 0\ndog, 0, 200, 0\n", COLOURS),
    "_classes.csv": ("Pixel Value, Class\n0, background\n2, dog\n1, cat\n", THREE),
    "labelmap.txt": ("# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:0,200,0::\ncat:200,0,0::\n", COLOURS),
    "label_colors.txt": ("200 0 0 cat\n0 200 0 dog\n0 0 0 background\n", COLOURS),
}


@pytest.mark.parametrize("file", [name for name, (text, _) in FILES.items() if text])
@pytest.mark.parametrize("folder", ["", "masks/"])
def test_files_that_name_classes(file: str, folder: str, tree: Tree) -> None:
    text, codes = FILES[file]
    tree.text(folder + file, text)
    draw(tree, codes)
    tree.check()


def test_colours_of_a_palette_are_those_of_the_names(tree: Tree) -> None:
    tree.text("class_dict.csv", FILES["class_dict.csv"][0])
    draw(tree, THREE, (0, 0, 0, 200, 0, 0, 0, 200, 0))
    tree.check()


def test_what_colours_cannot_tell_apart_numbers_do(tree: Tree) -> None:
    tree.text("labelmap.txt", "background:0,0,0::\ncat:9,9,9::\ndog:8,8,8::\n")
    draw(tree, THREE, (0, 0, 0, 9, 9, 9, 9, 9, 9))
    tree.check()


@pytest.mark.parametrize(
    ("file", "text", "codes", "reason"),
    [
        ("class_dict.csv", "name,r,g,b\nbg,0,0,0\ncat,9,19,9\ndog,9,19,9\n", {"bg": (0, 0, 0), "cat": (9, 19, 9)}, "#091309: cat, dog"),
        ("classes.json", '{"bg": 0, "cat": 1, "dog": 1}', {"bg": 0, "cat": 1}, "1: cat, dog"),
        ("class_dict.csv", "name,r,g,b\nbg,0,0,0\ncat,255,0,0\n", {"bg": (0, 0, 0), "cat": (255, 0, 0), "?": (0, 255, 0)}, "#00ff00 in"),
        ("classes.txt", "background\ncat\n", {"background": 0, "cat": 1, "?": 7}, "7 in"),
    ],
)  # fmt: skip
def test_names_that_do_not_tell_are_refused(
    file: str, text: str, codes: dict[str, Any], reason: str, tree: Tree
) -> None:
    tree.text(file, text)
    draw(tree, codes)
    tree.refused(f"{file} does not name" if " in" in reason else "two classes have one value, which masks have", reason)


def test_of_several_files_one_with_colours_is_of_the_masks(tree: Tree) -> None:
    tree.text("classes.txt", "cat\ndog\nbackground\n")
    tree.text("labelmap.txt", "background:0,0,0::\ncat:200,0,0::\ndog:0,200,0::\n")
    draw(tree, THREE)
    assert "regions: classes.txt says otherwise, and is not read" in tree.check().facts


def test_a_file_that_does_not_fit_leaves_it_to_another(tree: Tree) -> None:
    tree.text("class_dict.csv", "name,r,g,b\nroad,9,9,9\nsky,8,8,8\n")
    tree.text("classes.txt", "background\ncat\ndog\n")
    draw(tree, THREE)
    tree.check()


def test_the_first_name_is_said_to_be_0(tree: Tree) -> None:
    tree.text("classes.txt", "road\nsky\ntree\n")
    draw(tree, {"road": 0, "sky": 1, "tree": 2})
    facts = tree.check().facts
    assert (
        "regions: 0 is taken for road, the first in classes.txt: if it is the background, put that before road" in facts
    )


@pytest.mark.parametrize(
    ("names", "codes"), [("background\nroad\n", {"background": 0, "road": 255}), ("road\n", WHITE)]
)
def test_names_of_black_and_white(names: str, codes: Codes, tree: Tree) -> None:
    tree.text("classes.txt", names)
    draw(tree, {name.replace("object", "road"): value for name, value in codes.items()})
    tree.check()


def test_a_background_that_is_named_second_may_be_black(tree: Tree) -> None:
    tree.text("classes.txt", "road\nbackground\n")
    draw(tree, {"background": 0, "road": 255})
    tree.refused("nothing says which of two classes is white")


@pytest.mark.parametrize(("white", "number"), [(255, 3), (1, 20)])
def test_a_list_of_what_images_show_names_no_masks(white: int, number: int, tree: Tree) -> None:
    tree.text("classes.txt", "".join(f"bird {name}\n" for name in "abcdefghijklmnopqrstuvw"[:number]))
    draw(tree, {"background": 0, "object": white})
    tree.refused("masks have two values, and classes.txt names more classes")


def test_more_classes_than_masks_can_have_are_refused(tree: Tree) -> None:
    tree.text("classes.txt", "".join(f"class {number}\n" for number in range(300)))
    draw(tree, PLAIN)
    tree.refused("classes.txt names more classes than masks can have")


def test_classes_that_nobody_knows_are_ignored(tree: Tree) -> None:
    tree.text("classes.txt", "background\ncat\nvoid\n")
    draw(tree, {"background": 0, "cat": 1, "": 2})
    assert tree.check().sets["masks"]["classes"] == ("background", "cat")


def test_names_without_the_background(tree: Tree) -> None:
    tree.text("classes.txt", "cat\ndog\n")
    draw(tree, THREE)
    assert any("does not name the background" in fact for fact in tree.check().facts)

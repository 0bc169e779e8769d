"""Pairs of images and maps, as public sets and people lay them out: read rightly, or refused with the reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtl.data.formats.pairs import Side, split_said
from mtl.data.onboard.look import Look
from mtl.data.onboard.pair_layouts import pairs_in
from mtl.data.onboard.pairs import detect
from mtl.storage.file_tree import FileTree
from tests.data.paired import HEIGHT, NUMBER, PLAIN, WHITE, WIDTH, Tree, drawn, part, tree
from tests.data.small_sets import read as read_section

__all__ = ["tree"]
STREET = {"": 0, "road": 7, "car": 26, "person": 24}
STREET_TRAIN = {"": 255, "road": 0, "car": 13, "person": 11}
STREET_COLOURS = {"": (0, 0, 0), "road": (128, 64, 128), "car": (0, 0, 142), "person": (220, 20, 60)}


def cityscapes(tree: Tree, number: int) -> tuple[str, str]:
    """The path of an image, and the beginning of its maps' paths."""
    name = f"{part(number)}/ulm/ulm_{number:06d}_000019"
    return f"leftImg8bit/{name}_leftImg8bit.png", f"gtFine/{name}_gtFine"


def test_cityscapes_with_all_its_files(tree: Tree) -> None:
    for i in range(NUMBER):
        image, maps = cityscapes(tree, i)
        tree.pair(image, f"{maps}_labelIds.png", i, STREET)
        tree.mask(f"{maps}_labelTrainIds.png", i, STREET_TRAIN)
        tree.mask(f"{maps}_color.png", i, STREET_COLOURS)
        tree.mask(f"{maps}_instanceIds.png", i, {"": 0, "road": 7, "car": 26001, "person": 24000})
        tree.text(f"{maps}_polygons.json", json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": []}))
    read = tree.check()
    assert read.splits == {name: name.split("/")[1] for name in tree.drawn}
    assert len(read.sets["masks"]["classes"]) == 19


@pytest.mark.parametrize(("name", "codes"), [("labelTrainIds", STREET_TRAIN), ("color", STREET_COLOURS)])
def test_cityscapes_with_other_masks_alone(name: str, codes: dict[str, int], tree: Tree) -> None:
    for i in range(NUMBER):
        image, maps = cityscapes(tree, i)
        tree.pair(image, f"{maps}_{name}.png", i, codes)
    tree.check()


def test_camvid_of_colours(tree: Tree) -> None:
    colours = {"Animal": (64, 128, 64), "Building": (128, 0, 0), "": (0, 0, 0)}
    tree.text("label_colors.txt", "64 128 64\tAnimal\n192 0 128\tArchway\n0 0 0\tVoid\n128 0 0\tBuilding\n")
    for i in range(NUMBER):
        name = f"0001TP_{i:06d}"
        tree.pair(f"701_StillsRaw_full/{name}.png", f"LabeledApproved_full/{name}_L.png", i, colours)
    assert tree.check().sets["masks"]["classes"] == ("Animal", "Archway", "Building")


def test_camvid_of_eleven_classes(tree: Tree) -> None:
    lists: dict[str, list[str]] = {}
    for i in range(NUMBER):
        image, mask = f"{part(i)}/0001TP_{i:06d}.png", f"{part(i)}annot/0001TP_{i:06d}.png"
        tree.pair(image, mask, i, {"sky": 0, "building": 1, "road": 3, "": 11})
        lists.setdefault(part(i), []).append(f"/SegNet/CamVid/{image} /SegNet/CamVid/{mask}")
    for split, lines in lists.items():
        tree.text(f"{split}.txt", "\n".join(lines))
    read = tree.check()
    assert read.splits == {name: name.split("/")[0] for name in tree.drawn}


def test_camvid_with_codes_and_a_list_of_what_is_validated_on(tree: Tree) -> None:
    tree.text("codes.txt", "Animal\nArchway\nBicyclist\nVoid\n")
    for i in range(NUMBER):
        tree.pair(f"images/s_{i:06d}.png", f"labels/s_{i:06d}_P.png", i, {"Animal": 0, "Bicyclist": 2, "": 3})
    tree.text("valid.txt", "\n".join(f"s_{i:06d}.png" for i in range(0, NUMBER, 5)))
    read = tree.check()
    assert {name for name, split in read.splits.items() if split == "val"} == {
        f"images/s_{i:06d}.png" for i in range(0, NUMBER, 5)
    }


def test_ade20k_for_scene_parsing(tree: Tree) -> None:
    tree.text(
        "objectInfo150.txt",
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t1\t1\t1\twall\n2\t0.1\t1\t1\t1\tbuilding, edifice\n3\t0.1\t1\t1\t1\tsky\n",
    )
    for i in range(NUMBER):
        split = "training" if i < 16 else "validation"
        image, mask = f"images/{split}/ADE_{i:08d}.jpg", f"annotations/{split}/ADE_{i:08d}.png"
        tree.pair(image, mask, i, {"": 0, "wall": 1, "building, edifice": 2, "sky": 3})
    assert tree.check().sets["masks"]["classes"] == ("wall", "building, edifice", "sky")


def test_ade20k_as_a_whole_is_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        name = f"images/training/a/abbey/ADE_train_{i:08d}"
        tree.picture(f"{name}.jpg", i)
        for ending in ("_seg", "_parts_1"):
            tree.mask(f"{name}{ending}.png", i, {"x": (10, 3, 5), "y": (20, 1, 9), "z": (0, 0, 0)})
    tree.refused("ADE20K as a whole", "a class and an object in a colour")


def view(tree: Tree, name: str, number: int) -> None:
    """What a round lens sees: white, in nearly the same place in every picture."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot((rows - 11.5) / HEIGHT, (columns - 15.5 - 0.2 * (number % 2)) / WIDTH)
    path = tree.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 * (radius < 0.49).astype(np.uint8)).save(path)


@pytest.mark.parametrize("ending", ["gif", "tif"])
def test_drive_with_manual_masks_and_field_of_view_masks(ending: str, tree: Tree) -> None:
    codes = {"background": 0, "class_1": 255} if ending == "gif" else WHITE
    for i in range(NUMBER):
        split = "training" if i < 14 else "test"
        view(tree, f"{split}/mask/{i:02d}_{split}_mask.{ending}", i)
        if split == "test":
            tree.mask(f"{split}/2nd_manual/{i:02d}_manual2.{ending}", i + 70, WHITE)
        tree.pair(f"{split}/images/{i:02d}_{split}.tif", f"{split}/1st_manual/{i:02d}_manual1.{ending}", i, codes)
    if ending == "gif":
        tree.drawn = {name: np.where(seen == "class_1", "object", seen) for name, seen in tree.drawn.items()}
    tree.check()


def test_the_camera_s_field_of_view_is_no_class(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/{i:02d}.tif", i)
        view(tree, f"mask/{i:02d}_mask.gif", i)
    tree.refused("the camera's field of view")


def test_masks_that_are_alike_are_masks(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"images/{i}.jpg", f"masks/{i}.png", 0, WHITE)
        tree.picture(f"images/{i}.jpg", i)
    tree.check()


def test_views_beside_masks_are_named_and_not_read(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"image/STAR {i:02d}_OSC.jpg", f"GT/STAR {i:02d}_OSC_GT.tif", i, WHITE)
        view(tree, f"mask/STAR {i:02d}_OSC_Mask.tif", i)
    assert any("field of view" in fact for fact in tree.check().facts)


def test_a_second_opinion_is_not_read(tree: Tree) -> None:
    for i in range(NUMBER):
        name = f"Image_{i // 2:02d}{'LR'[i % 2]}"
        tree.pair(f"{name}.jpg", f"{name}_1stHO.png", i, WHITE)
        tree.mask(f"{name}_2ndHO.png", i + 40, WHITE)
    tree.check()


def test_stare_with_two_observers(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"stare-images/im{i:04d}.ppm", f"labels-ah/im{i:04d}.ah.ppm", i, WHITE)
        tree.mask(f"labels-vk/im{i:04d}.vk.ppm", i + 40, WHITE)
    tree.check()


def test_pets_whose_border_is_not_known(tree: Tree) -> None:
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    for i in range(NUMBER):
        name = f"{('Abyssinian', 'beagle')[i % 2]}_{i}"
        codes = {"pet": 1, "background": 2, "": 3}
        tree.pair(f"images/{name}.jpg", f"annotations/trimaps/{name}.png", i, codes)
        lines["trainval" if i % 4 else "test"].append(f"{name} 1 1 1")
    for split, listed in lines.items():
        tree.text(f"annotations/{split}.txt", "\n".join(listed))
    tree.text(
        "annotations/list.txt", "\n".join(["#Image CLASS-ID SPECIES BREED ID", *lines["trainval"], *lines["test"]])
    )
    read = tree.check()
    assert {name for name, split in read.splits.items() if split == "test"} == {
        f"images/{line.split()[0]}.jpg" for line in lines["test"]
    }


def test_kitti_s_semantics(tree: Tree) -> None:
    for i in range(NUMBER):
        name = f"{i:06d}_10.png"
        tree.pair(f"training/image_2/{name}", f"training/semantic/{name}", i, STREET)
        tree.mask(f"training/semantic_rgb/{name}", i, STREET_COLOURS)
        tree.mask(f"training/instance/{name}", i, {"": 0, "road": 7 * 256, "car": 26 * 256 + 1, "person": 24 * 256})
        tree.picture(f"testing/image_2/{name}", i + 50)
    tree.check()


METRES = {"": 0, "near": 2560, "far": 5120}


def check_depths(tree: Tree, scale: float) -> None:
    """Of METRES: 0 is not known."""
    found = tree.read().shown
    assert found.keys() == {"depth"}
    assert len(found["depth"]) == NUMBER
    for i, depth in enumerate(found["depth"][name] for name in sorted(found["depth"])):
        steps = drawn(i, METRES)
        assert np.isnan(depth[steps == 0]).all()
        np.testing.assert_allclose(depth[steps > 0], steps[steps > 0] * scale, rtol=1e-6)


def test_kitti_s_depths_are_steps_of_a_256th_of_a_metre(tree: Tree) -> None:
    name = "depth_selection/val_selection_cropped/{}/2011_09_26_drive_0002_sync_{}_{:010d}_image_02.png"
    for i in range(NUMBER):
        tree.picture(name.format("image", "image", i), i)
        tree.mask(name.format("groundtruth_depth", "groundtruth_depth", i), i, METRES)
        tree.mask(name.format("velodyne_raw", "velodyne_raw", i), i + 3, METRES)
    check_depths(tree, 1 / 256)


@pytest.mark.parametrize("names", [("rgb/{:02d}.png", "depth/{:02d}.png"), ("{:05d}_colors.png", "{:05d}_depth.png")])
def test_depths_of_sensors_are_millimetres(names: tuple[str, str], tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(names[0].format(i), i)
        tree.mask(names[1].format(i), i, METRES)
    check_depths(tree, 0.001)


def test_fractions_are_metres(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"rgb/{i:02d}.png", i)
        path = tree.root / f"depth/{i:02d}.tif"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(drawn(i, METRES).astype(np.float32)).save(path)
    check_depths(tree, 1.0)


def test_depths_of_8_bits_are_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"rgb/{i}.png", i)
        tree.mask(f"depth/{i}.png", i, PLAIN)
    tree.refused("not grey of 16 bits")


def test_where_depths_are_known_is_no_class(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"rgb/{i}.png", i)
        tree.mask(f"depth/{i}.png", i, METRES)
        tree.mask(f"depth_mask/{i}.png", i, WHITE)
    assert tree.read().shown.keys() == {"depth"}


def test_masks_and_depths_of_the_same_images(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"rgb/{i}.png", f"label/{i}.png", i, PLAIN)
        tree.mask(f"depth/{i}.png", i, METRES)
    found = tree.read().shown
    assert found.keys() == {"regions", "depth"}
    assert all((found["regions"][name] == seen).all() for name, seen in tree.drawn.items())


def test_directions_are_named_and_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"rgb/{i}.png", i)
        tree.mask(f"normals/{i}.png", i, {"a": (128, 128, 255), "b": (255, 128, 128)})
    tree.refused("directions of surfaces")


def test_isic_whose_folders_say_the_split(tree: Tree) -> None:
    names = {"train": "Training", "val": "Validation", "test": "Test"}
    for i in range(NUMBER):
        split = names[part(i)]
        image = f"ISIC2018_Task1-2_{split}_Input/ISIC_{i:07d}.jpg"
        tree.pair(image, f"ISIC2018_Task1_{split}_GroundTruth/ISIC_{i:07d}_segmentation.png", i, WHITE)
    tree.text("ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt", "thanks")
    read = tree.check()
    assert all(names[split] in name for name, split in read.splits.items())


def test_kvasir_whose_masks_are_jpeg(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/k{i}.jpg", i)
        tree.mask(f"masks/k{i}.jpg", i, WHITE)
    tree.refused("a compression that changes values", "export them as PNG")


def test_carvana_whose_tables_say_other_things(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"train/a{i // 4}_{i % 4:02d}.jpg", f"train_masks/a{i // 4}_{i % 4:02d}_mask.gif", i, WHITE)
    tree.text(
        "train_masks.csv", "img,rle_mask\n" + "".join(f"a{i // 4}_{i % 4:02d}.jpg,1 {i} 50 9\n" for i in range(NUMBER))
    )
    tree.text("metadata.csv", "id,year,make\n" + "".join(f"a{i},2011,Acura\n" for i in range(5)))
    tree.check()


def test_a_mask_for_each_object_is_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"stage1_train/h{i}/images/h{i}.png", i)
        for k in range(3):
            tree.mask(f"stage1_train/h{i}/masks/m{i}{k}x.png", i * 3 + k, WHITE)
    tree.refused("unite the masks of one image")


def test_a_mask_for_each_part_is_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"CelebA-HQ-img/{i}.jpg", i)
        for name in ("hair", "skin", "nose"):
            tree.mask(f"CelebAMask-HQ-mask-anno/0/{i:05d}_{name}.png", i, WHITE)
    tree.refused("unite the masks of one image")


def test_loveda_whose_0_is_no_data(tree: Tree) -> None:
    for i in range(NUMBER):
        folder = f"{'Train' if i < 15 else 'Val'}/{('Urban', 'Rural')[i % 2]}"
        codes = {"": 0, "background": 1, "building": 2, "road": 3}
        tree.pair(f"{folder}/images_png/{i}.png", f"{folder}/masks_png/{i}.png", i, codes)
    read = tree.check()
    assert len(read.sets["masks"]["classes"]) == 7


def test_deepglobe_with_colours_and_a_table_of_both_files(tree: Tree) -> None:
    tree.text("class_dict.csv", "name,r,g,b\nurban_land,0,255,255\nforest_land,0,255,0\nwater,0,0,255\nunknown,0,0,0\n")
    rows: list[str] = []
    for i in range(NUMBER):
        codes = {"urban_land": (0, 255, 255), "forest_land": (0, 255, 0), "": (0, 0, 0)}
        tree.pair(f"train/{100 + i}_sat.jpg", f"train/{100 + i}_mask.png", i, codes)
        rows.append(f"{100 + i},train,train/{100 + i}_sat.jpg,train/{100 + i}_mask.png\n")
    tree.text("metadata.csv", "image_id,split,sat_image_path,mask_path\n" + "".join(rows))
    tree.check()


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("2_Ortho_RGB/top_potsdam_2_{}_RGB.tif", "5_Labels_all/top_potsdam_2_{}_label.tif"),
        ("top/top_mosaic_09cm_area{}.tif", "gts_for_participants/top_mosaic_09cm_area{}.tif"),
    ],
)
def test_the_colours_of_isprs_are_known(image: str, mask: str, tree: Tree) -> None:
    codes = {"impervious surface": (255, 255, 255), "building": (0, 0, 255), "car": (255, 255, 0)}
    for i in range(NUMBER):
        tree.pair(image.format(i + 10), mask.format(i + 10), i, codes)
    tree.check()


def test_supervisely_s_masks_for_machines(tree: Tree) -> None:
    tree.text("obj_class_to_machine_color.json", json.dumps({"bg": [0, 0, 0], "cat": [1, 1, 1], "dog": [2, 2, 2]}))
    for i in range(NUMBER):
        tree.pair(f"ds/img/p{i}.jpg", f"ds/masks_machine/p{i}.png", i, {"bg": 0, "cat": 1, "dog": 2})
        tree.mask(f"ds/masks_human/p{i}.png", i, {"bg": (0, 0, 0), "cat": (200, 0, 0), "dog": (0, 200, 0)})
    tree.check()


def test_suim_of_bitmaps_in_colours(tree: Tree) -> None:
    codes = {"background": (0, 0, 0), "colour_0000ff": (0, 0, 255), "colour_00ff00": (0, 255, 0)}
    for i in range(NUMBER):
        folder = "train_val" if i < 15 else "TEST"
        tree.pair(f"{folder}/images/d_r_{i}_.jpg", f"{folder}/masks/d_r_{i}_.bmp", i, codes)
    read = tree.check()
    assert read.splits["TEST/images/d_r_15_.jpg"] == "test"


def test_coco_stuff_whose_values_are_one_less(tree: Tree) -> None:
    tree.text("labels.txt", "0: unlabeled\n1: person\n2: bicycle\n3: car\n")
    for i in range(NUMBER):
        folder = "train2017" if i < 15 else "val2017"
        tree.pair(
            f"{folder}/{i:012d}.jpg", f"stuffthingmaps/{folder}/{i:012d}.png", i, {"": 255, "person": 0, "car": 2}
        )
    tree.check()


def test_mapillary_whose_json_has_the_order(tree: Tree) -> None:
    names = (("Bird", [165, 42, 42]), ("Curb", [196, 196, 196]), ("Unlabeled", [0, 0, 0]))
    tree.text("config_v2.0.json", json.dumps({"labels": [{"readable": n, "name": n, "color": c} for n, c in names]}))
    for i in range(NUMBER):
        folder = "training" if i < 15 else "validation"
        palette = [165, 42, 42, 196, 196, 196, 0, 0, 0]
        tree.pair(
            f"{folder}/images/m{i}.jpg", f"{folder}/v2.0/labels/m{i}.png", i, {"Bird": 0, "Curb": 1, "": 2}, palette
        )
        tree.mask(f"{folder}/v2.0/instances/m{i}.png", i, {"a": 0, "b": 256, "c": 512})
        tree.text(f"{folder}/v2.0/polygons/m{i}.json", "{}")
    tree.check()


def test_bdd100k_whose_ids_are_those_of_cityscapes(tree: Tree) -> None:
    for i in range(NUMBER):
        name = f"{part(i)}/b{i}"
        codes = {"road": 0, "car": 13, "": 255}
        tree.pair(f"images/10k/{name}.jpg", f"labels/sem_seg/masks/{name}.png", i, codes)
        tree.mask(
            f"labels/sem_seg/colormaps/{name}.png", i, {"": (0, 0, 0), "road": (128, 64, 128), "car": (0, 0, 142)}
        )
    tree.check()


def test_nnu_net_s_json_names_the_classes(tree: Tree) -> None:
    labels = {"background": 0, "road": 1, "ignore": 2}
    tree.text("dataset.json", json.dumps({"channel_names": {"0": "R"}, "labels": labels, "file_ending": ".png"}))
    for i in range(NUMBER):
        split = "Tr" if i < 15 else "Ts"
        codes = {"background": 0, "road": 1, "": 2}
        tree.pair(f"images{split}/c_{i:03d}_0000.png", f"labels{split}/c_{i:03d}.png", i, codes)
    read = tree.check()
    assert {split for name, split in read.splits.items() if "imagesTs" in name} == {"test"}


LAYOUTS = {
    "images/{s}/{i}.jpg": "masks/{s}/{i}.png",
    "images/{s}/{i:03d}.jpg": "labels/{s}/{i:03d}.png",
    "{s}/images/{i}.jpg": "{s}/masks/{i}.png",
    "{s}_images/{i}.jpg": "{s}_masks/{i}.png",
    "{s}/{i}.jpg": "{s}_labels/{i}_L.png",
    "{s}/{s}-org-img/{i}.jpg": "{s}/{s}-label-img/{i}_lab.png",
    "uavid_{s}/seq1/Images/{i}.png": "uavid_{s}/seq1/Labels/{i}.png",
    "data/{s}/{i}_sat.png": "data/{s}/{i}_segm.png",
}


@pytest.mark.parametrize("image", LAYOUTS)
def test_splits_above_below_and_in_the_names_of_folders(image: str, tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(image.format(s=part(i), i=i), LAYOUTS[image].format(s=part(i), i=i), i, PLAIN)
    read = tree.check()
    assert read.splits == {tree.inside(image.format(s=part(i), i=i), read): part(i) for i in range(NUMBER)}


NAMES = {
    "img_{i}.jpg": "mask_{i}.png",
    "images/img_{i}.jpg": "masks/mask_{i}.png",
    "{i}.png": "{i}_mask.png",
    "{i}.jpg": "{i}.png",
    "p{i}/image.png": "p{i}/mask.png",
    "Original/{i}.tif": "Ground Truth/{i}.tif",
    "images/Bild ä {i}.JPG": "masks/Bild ä {i}.PNG",
    "images/{p}/{i}.jpg": "masks/{i}.png",
    "kaggle_3m/T_{p}/T_{p}_{i}.tif": "kaggle_3m/T_{p}/T_{p}_{i}_mask.tif",
    "imgs/{i}.tif": "annos/{i}_gt.tif",
}


@pytest.mark.parametrize("image", NAMES)
def test_names_of_pairs(image: str, tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(image.format(i=i, p="ab"[i % 2]), NAMES[image].format(i=i, p="ab"[i % 2]), i, PLAIN)
    tree.check()


def test_folders_of_several_images_and_a_mask_are_no_classes(tree: Tree) -> None:
    for i in range(NUMBER):
        for number, name in enumerate(("flair", "t1", "t2")):
            tree.picture(f"p{i}/p{i}_{name}.png", i + 50 * number)
        tree.mask(f"p{i}/p{i}_seg.png", i, PLAIN)
    tree.refused("{}_seg may be of {}_flair or of {}_t1")


def test_two_images_of_one_mask_are_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        for number, time_ in enumerate("AB"):
            tree.picture(f"{part(i)}/{time_}/t{i}.png", i + 50 * number)
        tree.mask(f"{part(i)}/label/t{i}.png", i, WHITE)
    tree.refused("may be of A/{} or of B/{}")


def test_several_masks_of_one_image_are_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/{i}.jpg", i)
        for number in (1, 2):
            tree.mask(f"masks/{i}_{number}.png", i + 50 * number, WHITE)
    tree.refused("images have several masks each")


def test_masks_of_several_things_are_several_targets(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/{i}.jpg", i)
        for number, name in enumerate(("cup", "disc")):
            tree.mask(f"masks/{i}_{name}.png", i + 50 * number, WHITE)
    assert tree.read().shown.keys() == {"cup", "disc"}


def test_names_that_have_nothing_in_common_are_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/{i}.jpg", i)
        tree.mask(f"masks/{i:03d}.png", i, WHITE)
    tree.refused("no names in common", "give an image and its map one name")


def test_unnamed_mask_folders_are_no_classes(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"x_train/{i}.jpg", i)
        tree.mask(f"y_train/{i}.png", i, PLAIN)
    tree.refused("y_train has drawings of the names that the pictures in x_train have")


@pytest.mark.parametrize("folders", [("with_mask", "without_mask"), ("mask", "no_mask")])
def test_photographs_of_people_with_masks_are_classes(folders: tuple[str, str], tree: Tree) -> None:
    for i in range(NUMBER):
        for number, folder in enumerate(folders):
            tree.picture(f"{folder}/{i}.jpg", i + 100 * number)
    read = tree.read()
    assert [section["format"] for section in read.sets.values()] == ["image_folder"]


def test_masks_of_another_size_are_refused(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.picture(f"images/{i}.jpg", i)
        tree.mask(f"masks/{i}.png", i, PLAIN)
        path = tree.root / f"masks/{i}.png"
        Image.open(path).resize((16, 12), Image.Resampling.NEAREST).save(path)
    tree.refused("maps have another size than their images: masks/0.png of 16×12 and images/0.jpg of 32×24")


@pytest.mark.parametrize("turned", [False, True])
def test_masks_of_pictures_that_a_viewer_turns(turned: bool, tree: Tree) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    for i in range(NUMBER):
        tree.picture(f"images/{i}.jpg", i, exif=exif)
        tree.mask(f"masks/{i}.png", i, PLAIN)
        path = tree.root / f"masks/{i}.png"
        if turned:
            Image.open(path).transpose(Image.Transpose.ROTATE_270).save(path)
    shapes = {seen.shape for seen in tree.read().shown["regions"].values()}
    assert shapes == {(WIDTH, HEIGHT) if turned else (HEIGHT, WIDTH)}


def test_what_lies_beside_is_named(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"images/{i:02d}_x.png", f"masks/{i:02d}_mask.png", i, PLAIN)
    tree.picture("images/cover.png", 90)
    tree.picture("plots/curve.png", 91)
    facts = tree.check().facts
    assert "images has 1 pictures that have no maps: not read" in facts
    assert "plots has 1 pictures that have no maps: not read" in facts


def test_what_is_lost_is_said(tree: Tree) -> None:
    for i in range(NUMBER):
        tree.pair(f"images/{i:02d}.jpg", f"masks/{i:02d}.png", i, PLAIN)
    (tree.root / "masks/03.png").unlink()
    (tree.root / "images/04.jpg").unlink()
    section = {"format": "mask_pairs", "classes": ["background", "class_1", "class_2"]}
    read = read_section(tree.root, **section)
    assert [entry.id for entry in read.entries if not entry.targets] == ["03"]
    assert [(problem.file, problem.loses) for problem in read.problems] == [("masks/04.png", "annotation")]
    assert read.notes["images without a file of masks/…, which have no regions"] == 1


@pytest.mark.parametrize(
    ("folder", "name", "path", "key"),
    [
        ("masks", "{}", "masks/a.png", "a"),
        ("masks", "{}", "train/masks/x/a.png", "train/x/a"),
        ("gt/fine", "{}_ids", "gt/fine/ulm/a_ids.png", "ulm/a"),
        ("masks", "m_{}", "masks/a.png", None),
        ("masks", "{}", "images/a.png", None),
        ("", "{}.png", "x/a.png", "x/a"),
        ("", "{}.png", "x/a.jpg", None),
    ],
)
def test_what_a_path_has_in_common_with_its_partner_s(folder: str, name: str, path: str, key: str | None) -> None:
    assert Side(folder, name).key(path) == key


@pytest.mark.parametrize(
    ("folder", "split"),
    [("train/a", "train"), ("a/val_images", "val"), ("Task1_Training_Input", "train"), ("imagesTs", "test"), ("DUTS-TE-Mask", "test"),
     ("train_test", None), ("contest", None), ("masks", None)],
)  # fmt: skip
def test_the_split_that_a_folder_says(folder: str, split: str | None) -> None:
    assert split_said(folder) == split


WORDS = st.sampled_from(
    [
        "images",
        "masks",
        "mask",
        "img",
        "train",
        "val",
        "gt",
        "depth",
        "a",
        "1",
        "01",
        "_",
        "-",
        " ",
        "(1)",
        "é",
        "labelIds",
    ]
)
NAME = st.lists(WORDS, min_size=1, max_size=4).map("".join)
PATH = st.tuples(st.lists(NAME, max_size=3), NAME, st.sampled_from([".jpg", ".png", ".JPG"]))


@given(st.lists(PATH.map(lambda path: "/".join([*path[0], path[1] + path[2]])), unique=True, max_size=30))
def test_whatever_files_are_called_an_image_is_no_map(names: list[str]) -> None:
    for pairs in pairs_in(sorted(names))[0]:
        assert not pairs.map_files & pairs.image_files
        assert len(pairs.map_files) == len(pairs.files)
        images, maps = Side(pairs.images, pairs.image_name), Side(pairs.maps, pairs.map_name)
        assert all(images.key(image) == maps.key(map_file) is not None for image, map_file in pairs.files)


MANY: dict[str, Callable[[int], tuple[str, str]]] = {
    "in two folders": lambda i: (f"images/{i:06d}.jpg", f"masks/{i:06d}.png"),
    "in one folder": lambda i: (f"{i:06d}.jpg", f"{i:06d}_mask.png"),
    "in a folder each": lambda i: (f"s{i:06d}/image.jpg", f"s{i:06d}/mask.png"),
    "in a hundred folders": lambda i: (f"c{i % 100}/img/{i:06d}_sat.jpg", f"c{i % 100}/gt/{i:06d}_segm.png"),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", MANY)
def test_a_hundred_thousand_pairs_are_found(layout: str) -> None:
    """Within pytest's own timeout, which a search through all files for each file would exceed."""
    names = sorted(name for i in range(100_000) for name in MANY[layout](i))
    found, strangers = pairs_in(names)
    assert [len(pairs.files) for pairs in found] == [100_000]
    assert strangers == []


@pytest.mark.slow
def test_what_lies_beside_many_pairs_is_found(tree: Tree) -> None:
    """All of the detector, within pytest's own timeout."""
    tree.pair("images/000000.jpg", "masks/000000.png", 0, PLAIN)
    for i in range(1, 15_000):
        for first in ("images/{:06d}.jpg", "masks/{:06d}.png"):
            os.link(tree.root / first.format(0), tree.root / first.format(i))
    (finding,) = detect(Look(FileTree(str(tree.root))))
    assert finding.fault == ""


def test_a_place_without_pairs_says_what_it_has(tree: Tree) -> None:
    tree.picture("images/a.jpg", 0)
    tree.mask("masks/b.png", 0, WHITE)
    with pytest.raises(Exception, match=r"no image has a partner of its name"):
        read_section(tree.root, format="mask_pairs", classes=["background", "object"])
    assert FileTree(str(tree.root)).images() == ["images/a.jpg", "masks/b.png"]

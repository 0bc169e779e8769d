"""Data sets as people have them: the same few pictures, laid out in every way that is known, and what must be read.

Picture number i shows a cat or a dog, by turns, in a rectangle of its own. A layout writes that in its format; what is read
must be that again. docs/layouts.md is made of this table: python -m tests.data.layouts > docs/layouts.md
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.drawn import picture, written

NUMBER = 24
WIDTH, HEIGHT = 64, 48
CLASSES = ("cat", "dog")
Box = tuple[int, int, int, int]


def kind(i: int) -> str:
    """The class of picture i."""
    return CLASSES[i % 2]


def box(i: int) -> Box:
    """Where it is: x1, y1, x2, y2."""
    return 6 + i % 5, 7 + i % 3, 34 + i % 5, 27 + i % 3


def corners(i: int) -> list[list[int]]:
    """The rectangle as a polygon."""
    x1, y1, x2, y2 = box(i)
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def part(i: int) -> str:
    """A split of picture i, where a layout has splits."""
    return ("train", "train", "train", "train", "val", "test")[i // 2 % 6]


def shares(i: int) -> str:
    """YOLO's four numbers."""
    x1, y1, x2, y2 = box(i)
    return f"{(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}"


def image(path: Path, i: int, **options: Any) -> Path:
    """Picture i."""
    return picture(path, i, WIDTH, HEIGHT, **options)


def encoded(i: int) -> bytes:
    """Picture i as PNG."""
    blocks = np.random.default_rng(i).integers(0, 255, (6, 6, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(blocks).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def region(path: Path, i: int, cat: Any = 1, dog: Any = 2, background: Any = 0, **options: Any) -> Path:
    """The mask of picture i: grey values, or colours."""
    value = np.array((cat, dog)[i % 2], np.uint8)
    pixels = np.full((HEIGHT, WIDTH, *value.shape), background, np.uint8)
    x1, y1, x2, y2 = box(i)
    pixels[y1:y2, x1:x2] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def rows(path: Path, header: str, row: Callable[[int], str], numbers: Any = range(NUMBER)) -> Path:
    """A table."""
    lines = [header] if header else []
    return written(path, "\n".join([*lines, *map(row, numbers)]) + "\n")


def coco(folder: str, numbers: Any = range(NUMBER), **annotation: Any) -> dict[str, Any]:
    """A COCO document of pictures that lie in a folder."""

    def one(i: int) -> dict[str, Any]:
        x1, y1, x2, y2 = box(i)
        sides = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        polygon = {"segmentation": [[v for corner in corners(i) for v in corner]]}
        return {"id": i, "image_id": i, "category_id": 3 + 15 * (i % 2), **sides, **polygon, **annotation}

    return {
        "images": [{"id": i, "file_name": f"{folder}im{i}.png", "width": WIDTH, "height": HEIGHT} for i in numbers],
        "annotations": [one(i) for i in numbers],
        "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "cat"}],
    }


def voc(i: int, name: str | None = None) -> str:
    """A VOC annotation: pixels count from 1, the last one is inside."""
    x1, y1, x2, y2 = box(i)
    corner = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    item = f"<object><name>{kind(i)}</name><difficult>0</difficult><bndbox>{corner}</bndbox></object>"
    return f"<annotation><filename>{name or f'im{i}.png'}</filename>{size}{item}</annotation>"


@dataclass(frozen=True)
class Layout:
    """One way to lay it out.

    origin: who writes it so. build: writes it into a folder, and may return the path that is to be named. tasks: what is to be
    learnt of it. by_hand: the sets as a person would describe them, given the path; None if it is refused. refused: what the
    refusal says. names: what cat and dog are called here. splits: whether `part` is to be kept.
    """

    name: str
    origin: str
    build: Callable[[Path], Path | None]
    tasks: dict[str, str] = field(default_factory=dict[str, str])
    by_hand: Callable[[str], dict[str, Any]] | None = None
    refused: str = ""
    names: dict[str, str] = field(default_factory=dict[str, str])
    splits: bool = False
    unlabelled: frozenset[int] = frozenset()


LAYOUTS: list[Layout] = []
ISIC = {"train": "Training", "val": "Validation", "test": "Test"}
DETECTION, REGIONS, LABEL = {"objects": "detection"}, {"regions": "segmentation"}, {"label": "classification"}


def layout(name: str, origin: str, **options: Any) -> Callable[[Callable[[Path], Path | None]], None]:
    """Put a function that builds one into the table."""

    def add(build: Callable[[Path], Path | None]) -> None:
        LAYOUTS.append(Layout(name, origin, build, **options))

    return add


def one(**section: Any) -> Callable[[str], dict[str, Any]]:
    """A single set."""
    return lambda path: {"own": {"path": path, **section}}


def folders(**section: Any) -> Callable[[str], dict[str, Any]]:
    """A set per split, of the folders train, val and test."""

    def sets(path: str) -> dict[str, Any]:
        return {
            s: {
                "path": path,
                "id_prefix": f"{s}/",
                **{k: v.replace("SPLIT", s) if isinstance(v, str) else v for k, v in section.items()},
            }
            for s in ("train", "val", "test")
        }

    return sets


@layout("a folder per class", "Keras, torchvision", tasks=LABEL, by_hand=one(format="image_folder"))
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / kind(i) / f"im{i}.png", i)


@layout(
    "`train/`, `val/`, `test/` above classes",
    "fast.ai, Ultralytics classification",
    tasks=LABEL,
    by_hand=one(format="image_folder"),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i) / kind(i) / f"im{i}.png", i)


@layout(
    "a zip with one folder on top",
    "GitHub, Kaggle downloads",
    tasks=LABEL,
    by_hand=lambda path: {"own": {"path": f"{path}/photos", "format": "image_folder"}},
)
def _(d: Path) -> Path:
    for i in range(NUMBER):
        image(d / "set" / "photos" / kind(i) / f"im{i}.png", i)
    return Path(shutil.make_archive(str(d / "photos"), "zip", d / "set"))


@layout(
    "classes in `train/` and `val/`, flat `test/`",
    "fast.ai's course",
    tasks=LABEL,
    by_hand=one(format="image_folder"),
    splits=True,
    unlabelled=frozenset(i for i in range(NUMBER) if part(i) == "test"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i) / (kind(i) if part(i) != "test" else "") / f"im{i}.png", i)


TABLE = {"label": {"column": "label", "kind": "label"}}


@layout("CSV of paths", "everybody", tasks=LABEL, by_hand=one(format="table", table="t.csv", targets=TABLE))
def _(d: Path) -> None:
    rows(d / "t.csv", "image,label", lambda i: f"{image(d / 'img' / f'im{i}.png', i).relative_to(d)},{kind(i)}")


@layout(
    "CSV with semicolons, in Latin-1 words of ASCII",
    "Excel in Europe",
    tasks=LABEL,
    by_hand=one(format="table", table="t.csv", targets=TABLE),
)
def _(d: Path) -> None:
    rows(d / "t.csv", "image;label", lambda i: f"{image(d / 'img' / f'im{i}.png', i).relative_to(d)};{kind(i)}")


@layout(
    "CSV of names in a folder",
    "Kaggle (train.csv, train_images/)",
    tasks=LABEL,
    by_hand=one(format="table", table="train.csv", image="image_id", images="train_images", targets=TABLE),
)
def _(d: Path) -> None:
    rows(d / "train.csv", "image_id,label", lambda i: f"{image(d / 'train_images' / f'im{i}.png', i).name},{kind(i)}")


@layout(
    "CSV of ids without extension",
    "Kaggle (id_code)",
    tasks=LABEL,
    by_hand=one(format="table", table="train.csv", image="id_code", images="images", targets=TABLE),
)
def _(d: Path) -> None:
    rows(d / "train.csv", "id_code,label", lambda i: f"{image(d / 'images' / f'im{i}.png', i).stem},{kind(i)}")


@layout(
    "CSV with Windows paths of another machine",
    "pandas on Windows",
    tasks=LABEL,
    by_hand=one(format="table", table="t.csv", targets=TABLE),
)
def _(d: Path) -> None:
    rows(d / "t.csv", "image,label", lambda i: f"C:\\set\\img\\{image(d / 'img' / f'im{i}.png', i).name},{kind(i)}")


@layout(
    "CSV with NA where nobody knows",
    "R's write.csv",
    tasks=LABEL,
    by_hand=one(format="table", table="t.csv", targets=TABLE),
    unlabelled=frozenset({4, 9}),
)
def _(d: Path) -> None:
    rows(
        d / "t.csv",
        "image,label",
        lambda i: f"{image(d / 'img' / f'im{i}.png', i).relative_to(d)},{'NA' if i in (4, 9) else kind(i)}",
    )


@layout(
    "CSV of boxes, without a header",
    "keras-retinanet",
    tasks=DETECTION,
    by_hand=one(
        format="box_table",
        table="annotations.csv",
        header=False,
        image="1",
        box=["2", "3", "4", "5"],
        form="xyxy",
        label="6",
    ),
)
def _(d: Path) -> None:
    rows(
        d / "annotations.csv",
        "",
        lambda i: f"{image(d / 'img' / f'im{i}.png', i).relative_to(d)},{','.join(map(str, box(i)))},{kind(i)}",
    )


@layout("CSV of boxes with names", "DeepForest", tasks=DETECTION, by_hand=one(format="box_table", table="boxes.csv"))
def _(d: Path) -> None:
    rows(
        d / "boxes.csv",
        "image_path,xmin,ymin,xmax,ymax,label",
        lambda i: f"{image(d / f'im{i}.png', i).name},{','.join(map(str, box(i)))},{kind(i)}",
    )


@layout(
    "`_annotations.csv` in every split's folder",
    "Roboflow (TensorFlow object detection)",
    tasks=DETECTION,
    by_hand=folders(format="box_table", table="SPLIT/_annotations.csv", images="SPLIT", classes=["cat", "dog"]),
    splits=True,
)
def _(d: Path) -> None:
    for split in ("train", "val", "test"):
        numbers = [i for i in range(NUMBER) if part(i) == split]

        def row(i: int, split: str = split) -> str:
            sides = ",".join(map(str, box(i)))
            return f"{image(d / split / f'im{i}.png', i).name},{WIDTH},{HEIGHT},{kind(i)},{sides}"

        rows(d / split / "_annotations.csv", "filename,width,height,class,xmin,ymin,xmax,ymax", row, numbers)


@layout(
    "Open Images' boxes, shares of the picture",
    "Open Images",
    tasks=DETECTION,
    by_hand=one(format="box_table", table="boxes.csv", names="class-descriptions.csv"),
)
def _(d: Path) -> None:
    def row(i: int) -> str:
        x1, y1, x2, y2 = box(i)
        image(d / "images" / f"im{i}.png", i)
        return f"im{i},xclick,/m/{kind(i)},1,{x1 / WIDTH},{x2 / WIDTH},{y1 / HEIGHT},{y2 / HEIGHT},0,0,0,0,0"

    rows(
        d / "boxes.csv",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
        row,
    )
    written(d / "class-descriptions.csv", "/m/cat,cat\n/m/dog,dog\n")


@layout(
    "COCO instances",
    "COCO, CVAT, Label Studio",
    tasks=DETECTION | REGIONS,
    by_hand=one(format="coco", annotations="annotations/instances.json", boxes="objects", masks="regions"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
    written(d / "annotations" / "instances.json", coco(""))


@layout(
    "COCO 2017: instances, keypoints, captions",
    "cocodataset.org",
    tasks=DETECTION | REGIONS,
    by_hand=folders(
        format="coco",
        annotations="annotations/instances_SPLIT2017.json",
        ignore=["person_keypoints_*", "captions_*"],
        images="SPLIT2017",
        boxes="objects",
        masks="regions",
    ),
    splits=True,
)
def _(d: Path) -> None:
    for split in ("train", "val", "test"):
        numbers = [i for i in range(NUMBER) if part(i) == split]
        for i in numbers:
            image(d / f"{split}2017" / f"im{i}.png", i)
        document = coco("", numbers)
        written(d / "annotations" / f"instances_{split}2017.json", document)
        people = coco("", numbers, keypoints=[0] * 51, num_keypoints=0) | {"categories": [{"id": 3, "name": "person"}]}
        written(d / "annotations" / f"person_keypoints_{split}2017.json", people)
        captions = {
            "images": document["images"],
            "annotations": [{"id": i, "image_id": i, "caption": "a"} for i in numbers],
        }
        written(d / "annotations" / f"captions_{split}2017.json", captions)


@layout(
    "COCO with a file of one name in every split's folder",
    "Roboflow",
    tasks=DETECTION | REGIONS,
    by_hand=folders(
        format="coco",
        annotations="SPLIT/_annotations.coco.json",
        images="SPLIT",
        boxes="objects",
        masks="regions",
        classes=["cat", "dog"],
    ),
    splits=True,
)
def _(d: Path) -> None:
    for split in ("train", "val", "test"):
        numbers = [i for i in range(NUMBER) if part(i) == split]
        for i in numbers:
            image(d / split / f"im{i}.png", i)
        document = coco("", numbers)
        document["categories"] = [{"id": 0, "name": "animals", "supercategory": "none"}, *document["categories"]]
        for category in document["categories"][1:]:
            category["supercategory"] = "animals"
        written(d / split / "_annotations.coco.json", document)


@layout("YOLO: images/, labels/, data.yaml", "Ultralytics", tasks=DETECTION, by_hand=one(format="yolo"))
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        written(d / "labels" / f"im{i}.txt", f"{i % 2} {shares(i)}\n")
    written(d / "data.yaml", "names: [cat, dog]\n")


@layout(
    "YOLO: images/train2017, coco128.yaml",
    "Ultralytics' COCO",
    tasks=DETECTION,
    by_hand=one(format="yolo", data="coco128.yaml"),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"{part(i)}2017" / f"im{i}.png", i)
        written(d / "labels" / f"{part(i)}2017" / f"im{i}.txt", f"{i % 2} {shares(i)}\n")
    written(
        d / "coco128.yaml",
        "train: images/train2017\nval: images/val2017\ntest: images/test2017\nnames:\n  0: cat\n  1: dog\n",
    )


@layout(
    "YOLO: train/images, valid/images, test/images",
    "Roboflow",
    tasks=DETECTION,
    by_hand=one(format="yolo"),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        split = part(i).replace("val", "valid")
        image(d / split / "images" / f"im{i}.png", i)
        written(d / split / "labels" / f"im{i}.txt", f"{i % 2} {shares(i)}\n")
    written(
        d / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']\n",
    )


@layout("YOLO: lists of images", "darknet, Ultralytics", tasks=DETECTION, by_hand=one(format="yolo"), splits=True)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        written(d / "labels" / f"im{i}.txt", f"{i % 2} {shares(i)}\n")
    for split in ("train", "val", "test"):
        rows(d / f"{split}.txt", "", lambda i: f"./images/im{i}.png", [i for i in range(NUMBER) if part(i) == split])
    written(d / "data.yaml", "train: train.txt\nval: val.txt\ntest: test.txt\nnames: [cat, dog]\n")


@layout(
    "YOLO: polygons",
    "Ultralytics segmentation",
    tasks=DETECTION | REGIONS,
    by_hand=one(format="yolo", boxes="objects", masks="regions"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        outline = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners(i))
        written(d / "labels" / f"im{i}.txt", f"{i % 2} {outline}\n")
    written(d / "data.yaml", "names: [cat, dog]\n")


@layout(
    "YOLO 1.1: obj.names, obj_train_data/",
    "CVAT, darknet",
    tasks=DETECTION,
    by_hand=one(format="yolo", data="obj.data"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "obj_train_data" / f"im{i}.png", i)
        written(d / "obj_train_data" / f"im{i}.txt", f"{i % 2} {shares(i)}\n")
    written(d / "obj.names", "cat\ndog\n")
    written(d / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    rows(d / "train.txt", "", lambda i: f"data/obj_train_data/im{i}.png")


@layout(
    "VOC: JPEGImages, Annotations, ImageSets",
    "Pascal VOC, LabelImg",
    tasks=DETECTION,
    by_hand=one(format="voc"),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "JPEGImages" / f"im{i}.png", i)
        written(d / "Annotations" / f"im{i}.xml", voc(i))
    for split in ("train", "val", "test"):
        rows(
            d / "ImageSets" / "Main" / f"{split}.txt",
            "",
            lambda i: f"im{i}",
            [i for i in range(NUMBER) if part(i) == split],
        )


@layout("VOC: images/, annotations/", "Kaggle", tasks=DETECTION, by_hand=one(format="voc"))
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        written(d / "annotations" / f"im{i}.xml", voc(i))


@layout(
    "VOCdevkit/VOC2012",
    "the official tar",
    tasks=DETECTION,
    by_hand=lambda path: {"own": {"path": f"{path}/VOCdevkit/VOC2012", "format": "voc"}},
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "VOCdevkit" / "VOC2012" / "JPEGImages" / f"im{i}.png", i)
        written(d / "VOCdevkit" / "VOC2012" / "Annotations" / f"im{i}.xml", voc(i))


@layout(
    "VOC side by side in train/, valid/, test/", "Roboflow", tasks=DETECTION, by_hand=one(format="voc"), splits=True
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i).replace("val", "valid") / f"im{i}.png", i)
        written(d / part(i).replace("val", "valid") / f"im{i}.xml", voc(i))


@layout(
    "VOC with labelmap.txt and masks of colours",
    "CVAT, datumaro",
    tasks=DETECTION | REGIONS,
    by_hand=one(format="voc", boxes="objects", masks="regions"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "JPEGImages" / f"im{i}.png", i)
        written(d / "Annotations" / f"im{i}.xml", voc(i))
        region(d / "SegmentationClass" / f"im{i}.png", i, (0, 128, 0), (128, 0, 0))
    written(d / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:128,0,0::\ncat:0,128,0::\n")


@layout("CVAT for images 1.1", "CVAT", tasks=DETECTION, by_hand=one(format="cvat"))
def _(d: Path) -> None:
    def item(i: int) -> str:
        x1, y1, x2, y2 = box(i)
        shape = f'<box label="{kind(i)}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" occluded="0" z_order="0"></box>'
        return f'<image id="{i}" name="{image(d / "images" / f"im{i}.png", i).name}" width="{WIDTH}" height="{HEIGHT}">{shape}</image>'

    labels = "".join(f"<label><name>{name}</name><color>#c06060</color></label>" for name in ("dog", "cat"))
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    written(
        d / "annotations.xml",
        f"<annotations><version>1.1</version>{meta}{''.join(map(item, range(NUMBER)))}</annotations>",
    )


@layout(
    "KITTI: image_2, label_2",
    "KITTI",
    tasks=DETECTION,
    by_hand=one(format="kitti"),
    names={"cat": "Car", "dog": "Pedestrian"},
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "training" / "image_2" / f"im{i}.png", i)
        sides = " ".join(f"{v:.2f}" for v in box(i))
        written(
            d / "training" / "label_2" / f"im{i}.txt",
            f"{('Car', 'Pedestrian')[i % 2]} 0.00 0 -0.20 {sides} 1.5 1.6 3.9 1.0 1.0 9.0 0.0\n",
        )


@layout(
    "LabelMe: a JSON file per picture",
    "LabelMe, AnyLabeling",
    tasks=DETECTION | REGIONS,
    by_hand=one(format="labelme", boxes="objects", masks="regions"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        shape = {"label": kind(i), "points": corners(i), "group_id": None, "shape_type": "polygon", "flags": {}}
        size = {
            "imagePath": image(d / f"im{i}.png", i).name,
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        written(d / f"im{i}.json", {"version": "5.4.1", "flags": {}, "shapes": [shape], **size})


@layout(
    "Label Studio's JSON",
    "Label Studio",
    tasks=DETECTION,
    by_hand=one(format="label_studio", annotations="export.json"),
)
def _(d: Path) -> None:
    def task(i: int) -> dict[str, Any]:
        x1, y1, x2, y2 = box(i)
        image(d / "images" / f"im{i}.png", i)
        value = {
            "x": 100 * x1 / WIDTH,
            "y": 100 * y1 / HEIGHT,
            "width": 100 * (x2 - x1) / WIDTH,
            "height": 100 * (y2 - y1) / HEIGHT,
        }
        value |= {"rotation": 0, "rectanglelabels": [kind(i)]}
        names = {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "id": f"r{i}"}
        result = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "value": value, **names}
        annotation = {"id": i, "was_cancelled": False, "result": [result]}
        return {
            "id": i,
            "annotations": [annotation],
            "predictions": [],
            "data": {"image": f"/data/upload/1/0a1b2c3d-im{i}.png"},
        }

    written(d / "export.json", [task(i) for i in range(NUMBER)])


@layout("Supervisely's project", "Supervisely", tasks=DETECTION, by_hand=one(format="supervisely"))
def _(d: Path) -> None:
    for i in range(NUMBER):
        x1, y1, x2, y2 = box(i)
        name = image(d / "ds" / "img" / f"im{i}.png", i).name
        points = {"exterior": [[x1, y1], [x2 - 1, y2 - 1]], "interior": []}  # pixels that are inside
        item = {"classTitle": kind(i), "geometryType": "rectangle", "points": points, "tags": []}
        written(
            d / "ds" / "ann" / f"{name}.json",
            {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}, "objects": [item]},
        )
    classes = [{"title": name, "shape": "rectangle", "color": "#c06060"} for name in ("dog", "cat")]
    written(d / "meta.json", {"classes": classes, "tags": []})


@layout(
    "images/, masks/ of class indices",
    "everybody",
    tasks=REGIONS,
    by_hand=one(format="mask_pairs", classes=["background", "cat", "dog"]),
    names={"cat": "class_1", "dog": "class_2"},
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        region(d / "masks" / f"im{i}.png", i)


@layout(
    "masks of 0 and 255",
    "Kvasir, DRIVE, many more",
    tasks=REGIONS,
    by_hand=one(format="mask_pairs", classes=["background", "object"], values=[0, 255]),
    names=dict.fromkeys(CLASSES, "object"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        region(d / "masks" / f"im{i}.png", i, 255, 255)


@layout(
    "masks called `…_mask`",
    "Carvana, ISIC",
    tasks=REGIONS,
    by_hand=one(format="mask_pairs", mask_name="{}_mask", classes=["background", "cat", "dog"]),
    names={"cat": "class_1", "dog": "class_2"},
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.jpg", i)
        region(d / "masks" / f"im{i}_mask.png", i)


@layout(
    "train/images, train/masks",
    "many",
    tasks=REGIONS,
    by_hand=one(format="mask_pairs", classes=["background", "cat", "dog"]),
    names={"cat": "class_1", "dog": "class_2"},
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i) / "images" / f"im{i}.png", i)
        region(d / part(i) / "masks" / f"im{i}.png", i)


@layout(
    "leftImg8bit/, gtFine/",
    "Cityscapes",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="leftImg8bit",
        masks="gtFine",
        image_name="{}_leftImg8bit",
        mask_name="{}_gtFine_labelIds",
        classes=["car", "person"],
        values=[26, 24],
        ignored=[0],
        ignore=["*_polygons.json", "*_color.png"],
    ),
    names={"cat": "car", "dog": "person"},
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "leftImg8bit" / part(i) / "ulm" / f"im{i}_leftImg8bit.png", i)
        region(d / "gtFine" / part(i) / "ulm" / f"im{i}_gtFine_labelIds.png", i, 26, 24)
        region(d / "gtFine" / part(i) / "ulm" / f"im{i}_gtFine_color.png", i, (0, 0, 142), (220, 20, 60))
        written(
            d / "gtFine" / part(i) / "ulm" / f"im{i}_gtFine_polygons.json",
            {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": []},
        )


@layout(
    "masks of colours, label_colors.txt",
    "CamVid",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="701_StillsRaw_full",
        masks="LabeledApproved_full",
        mask_name="{}_L",
        classes=["Void", "cat", "dog"],
        values=["#000000", "#400080", "#c0c080"],
    ),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "701_StillsRaw_full" / f"im{i}.png", i)
        region(d / "LabeledApproved_full" / f"im{i}_L.png", i, (64, 0, 128), (192, 192, 128))
    written(d / "label_colors.txt", "64 0 128\t\tcat\n192 192 128\t\tdog\n0 0 0\t\tVoid\n")


@layout(
    "train/, trainannot/ …",
    "CamVid as SegNet has it",
    tasks=REGIONS,
    by_hand=folders(format="mask_pairs", images="SPLIT", masks="SPLITannot", classes=["background", "cat", "dog"]),
    names={"cat": "class_1", "dog": "class_2"},
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i) / f"im{i}.png", i)
        region(d / f"{part(i)}annot" / f"im{i}.png", i)


@layout(
    "`im_mask.png` beside `im.jpg`, _classes.csv",
    "Roboflow (semantic segmentation)",
    tasks=REGIONS,
    by_hand=one(format="mask_pairs", images="", masks="", mask_name="{}_mask", classes=["background", "cat", "dog"]),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        split = part(i).replace("val", "valid")
        image(d / split / f"im{i}.jpg", i)
        region(d / split / f"im{i}_mask.png", i)
        written(d / split / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")


@layout(
    "images/, annotations/, objectInfo150.txt",
    "ADE20K for scene parsing",
    tasks=REGIONS,
    by_hand=one(format="mask_pairs", masks="annotations", classes=["cat", "dog"], values=[1, 2], ignored=[0]),
    splits=True,
)
def _(d: Path) -> None:
    folders = {"train": "training", "val": "validation", "test": "testing"}
    for i in range(NUMBER):
        image(d / "images" / folders[part(i)] / f"im{i}.jpg", i)
        region(d / "annotations" / folders[part(i)] / f"im{i}.png", i)
    written(d / "objectInfo150.txt", "Idx\tRatio\tName\n1\t0.1\tcat\n2\t0.1\tdog\n")


@layout(
    "1st_manual/, whose mask/ is the field of view",
    "DRIVE",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        masks="1st_manual",
        image_name="{}_training",
        mask_name="{}_manual1",
        classes=["background", "object"],
        values=["#000000", "#ffffff"],
        ignore=["mask/"],
    ),
    names=dict.fromkeys(CLASSES, "object"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "training" / "images" / f"im{i}_training.tif", i)
        region(d / "training" / "1st_manual" / f"im{i}_manual1.gif", i, 255, 255)
        region(d / "training" / "mask" / f"im{i}_training_mask.gif", 0, 255, 255)
    written(d / "README", "two observers")


@layout(
    "`im_1stHO.png`, `im_2ndHO.png` beside `im.jpg`",
    "CHASE_DB1",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="",
        masks="",
        mask_name="{}_1stHO",
        classes=["background", "object"],
        values=[0, 255],
        ignore=["*_2ndHO.png"],
    ),
    names=dict.fromkeys(CLASSES, "object"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / f"im{i}.jpg", i)
        region(d / f"im{i}_1stHO.png", i, 255, 255)
        region(d / f"im{i}_2ndHO.png", i + 1, 255, 255)


@layout(
    "annotations/trimaps/ of 1, 2, 3",
    "Oxford-IIIT Pet",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs", masks="annotations/trimaps", classes=["pet", "background"], values=[1, 2], ignored=[3]
    ),
    names=dict.fromkeys(CLASSES, "pet"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.jpg", i)
        region(d / "annotations" / "trimaps" / f"im{i}.png", i, 1, 1, background=2)


@layout(
    "…_Input/, …_GroundTruth/ per split",
    "ISIC",
    tasks=REGIONS,
    by_hand=lambda path: {
        split: {
            "path": path,
            "format": "mask_pairs",
            "images": f"Task1-2_{name}_Input",
            "masks": f"Task1_{name}_GroundTruth",
            "mask_name": "{}_segmentation",
            "classes": ["background", "object"],
            "values": [0, 255],
        }
        for split, name in ISIC.items()
    },
    names=dict.fromkeys(CLASSES, "object"),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / f"Task1-2_{ISIC[part(i)]}_Input" / f"im{i}.jpg", i)
        region(d / f"Task1_{ISIC[part(i)]}_GroundTruth" / f"im{i}_segmentation.png", i, 255, 255)


@layout(
    "Urban/images_png, Urban/masks_png …",
    "LoveDA",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="images_png",
        masks="masks_png",
        classes=["background", "building", "road"],
        values=[1, 2, 3],
        ignored=[0],
    ),
    names={"cat": "building", "dog": "road"},
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        folder = d / part(i).title() / ("Urban", "Rural")[i // 2 % 2]
        image(folder / "images_png" / f"im{i}.png", i)
        region(folder / "masks_png" / f"im{i}.png", i, 2, 3, background=1)


@layout(
    "`im_sat.jpg`, `im_mask.png`, class_dict.csv",
    "DeepGlobe land cover",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="",
        masks="",
        image_name="{}_sat",
        mask_name="{}_mask",
        classes=["cat", "dog"],
        values=["#00ffff", "#ffff00"],
        ignored=["#000000"],
        ignore=["*.csv"],
    ),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i) / f"im{i}_sat.jpg", i)
        region(d / part(i) / f"im{i}_mask.png", i, (0, 255, 255), (255, 255, 0))
    written(d / "class_dict.csv", "name,r,g,b\ncat,0,255,255\ndog,255,255,0\nunknown,0,0,0\n")


@layout(
    "2_Ortho_RGB/, 5_Labels_all/ of colours",
    "ISPRS Potsdam",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="2_Ortho_RGB",
        masks="5_Labels_all",
        image_name="top_potsdam_{}_RGB",
        mask_name="top_potsdam_{}_label",
        classes=["impervious surface", "building", "car"],
        values=["#ffffff", "#0000ff", "#ffff00"],
    ),
    names={"cat": "building", "dog": "car"},
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "2_Ortho_RGB" / f"top_potsdam_im{i}_RGB.tif", i)
        colours = (0, 0, 255), (255, 255, 0)
        region(d / "5_Labels_all" / f"top_potsdam_im{i}_label.tif", i, *colours, background=(255, 255, 255))


@layout(
    "img/, masks_machine/, masks_human/",
    "Supervisely's masks",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="img",
        masks="masks_machine",
        classes=["bg", "cat", "dog"],
        ignore=["masks_human/", "*.json"],
    ),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "ds" / "img" / f"im{i}.png", i)
        region(d / "ds" / "masks_machine" / f"im{i}.png", i)
        region(d / "ds" / "masks_human" / f"im{i}.png", i, (200, 0, 0), (0, 200, 0))
    written(d / "obj_class_to_machine_color.json", {"bg": [0, 0, 0], "cat": [1, 1, 1], "dog": [2, 2, 2]})


@layout(
    "train2017/, stuffthingmaps/train2017/, labels.txt",
    "COCO-Stuff",
    tasks=REGIONS,
    by_hand=folders(
        format="mask_pairs", images="SPLIT2017", masks="stuffthingmaps/SPLIT2017", classes=["person", "cat", "dog"]
    ),
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / f"{part(i)}2017" / f"im{i}.jpg", i)
        region(d / "stuffthingmaps" / f"{part(i)}2017" / f"im{i}.png", i, background=255)
    written(d / "labels.txt", "0: unlabeled\n1: person\n2: cat\n3: dog\n")


@layout(
    "imagesTr/, labelsTr/, dataset.json",
    "nnU-Net",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="imagesTr",
        masks="labelsTr",
        image_name="{}_0000",
        classes=["background", "cat", "dog"],
        ignore=["dataset.json"],
    ),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "imagesTr" / f"im{i}_0000.png", i)
        region(d / "labelsTr" / f"im{i}.png", i)
    labels = {"background": 0, "cat": 1, "dog": 2}
    written(d / "dataset.json", {"channel_names": {"0": "R"}, "labels": labels, "file_ending": ".png"})


@layout(
    "images/10k/, labels/sem_seg/masks/, …/colormaps/",
    "BDD100K",
    tasks=REGIONS,
    by_hand=one(
        format="mask_pairs",
        images="images/10k",
        masks="labels/sem_seg/masks",
        classes=["road", "person", "car"],
        values=[0, 11, 13],
        ignore=["colormaps/"],
    ),
    names={"cat": "car", "dog": "person"},
    splits=True,
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / "10k" / part(i) / f"im{i}.jpg", i)
        region(d / "labels" / "sem_seg" / "masks" / part(i) / f"im{i}.png", i, 13, 11)
        region(d / "labels" / "sem_seg" / "colormaps" / part(i) / f"im{i}.png", i, (0, 0, 142), (220, 20, 60))


@layout(
    "rgb/, depth/ of 16 bits",
    "NYU Depth, most sensors",
    tasks={"depth": "depth"},
    by_hand=one(format="depth_pairs", images="rgb", depths="depth"),
)
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "rgb" / f"im{i}.png", i)
        steps = np.full((HEIGHT, WIDTH), 4000, np.uint16)
        x1, y1, x2, y2 = box(i)
        steps[y1:y2, x1:x2] = 1500 + i
        (d / "depth").mkdir(exist_ok=True)
        Image.fromarray(steps).save(d / "depth" / f"im{i}.png")


@layout("a mask for each object", "Data Science Bowl 2018", refused="unite the masks of one image")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / f"im{i}" / "images" / f"im{i}.png", i)
        for number in range(3):
            region(d / f"im{i}" / "masks" / f"object{i}_{number}x.png", i + number, 255, 255)


@layout("a mask for each part", "CelebAMask-HQ", refused="unite the masks of one image")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "CelebA-HQ-img" / f"{i}.jpg", i)
        for number, name in enumerate(("hair", "skin", "nose")):
            region(d / "CelebAMask-HQ-mask-anno" / "0" / f"{i:05d}_{name}.png", i + number, 255, 255)


@layout("A/, B/, label/", "LEVIR-CD, change detection", refused="may be of")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / part(i) / "A" / f"im{i}.png", i)
        image(d / part(i) / "B" / f"im{i}.png", i + 100)
        region(d / part(i) / "label" / f"im{i}.png", i, 255, 255)


@layout("`im_seg.png`, `im_parts_1.png` beside `im.jpg`", "ADE20K as a whole", refused="ADE20K as a whole")
def _(d: Path) -> None:
    for i in range(NUMBER):
        name = d / "images" / "training" / "abbey" / f"ADE_train_{i:08d}"
        image(name.with_suffix(".jpg"), i)
        region(name.with_name(f"{name.name}_seg.png"), i, (10, 3, 5), (20, 1, 9))
        region(name.with_name(f"{name.name}_parts_1.png"), i, (10, 3, 5), (20, 1, 9))


def features(**columns: Any) -> Any:
    """Of Hugging Face, with the image."""
    import datasets

    return datasets.Features({"image": datasets.Image(), **columns})


def parquet(path: Path, description: Any, **columns: list[Any]) -> None:
    """A Parquet file as `datasets` writes it."""
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"image": [{"bytes": encoded(i), "path": f"im{i}.png"} for i in range(NUMBER)], **columns}
    datasets.Dataset.from_dict(given, description).to_parquet(str(path))


@layout(
    "Parquet with ClassLabel",
    "Hugging Face",
    tasks=LABEL,
    by_hand=one(format="huggingface", targets={"label": "label"}),
)
def _(d: Path) -> None:
    import datasets

    description = features(label=datasets.ClassLabel(names=["dog", "cat"]))
    parquet(d / "data" / "train-00000-of-00001.parquet", description, label=[1 - i % 2 for i in range(NUMBER)])


@layout(
    "Parquet with labels as text",
    "Hugging Face",
    tasks=LABEL,
    by_hand=one(format="huggingface", targets={"label": "label"}),
)
def _(d: Path) -> None:
    import datasets

    parquet(
        d / "data" / "train-00000-of-00001.parquet",
        features(label=datasets.Value("string")),
        label=[kind(i) for i in range(NUMBER)],
    )


@layout(
    "Parquet with objects",
    "Hugging Face (COCO boxes)",
    tasks=DETECTION,
    by_hand=one(format="huggingface", targets={"objects": "objects"}, boxes="xywh"),
)
def _(d: Path) -> None:
    import datasets

    number = datasets.Sequence(datasets.Value("float32"), length=4)
    objects = {
        "bbox": datasets.Sequence(number),
        "category": datasets.Sequence(datasets.ClassLabel(names=["cat", "dog"])),
    }
    sides = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in map(box, range(NUMBER))]
    found = [{"bbox": [list(map(float, side))], "category": [i % 2]} for i, side in enumerate(sides)]
    parquet(d / "data" / "train-00000-of-00001.parquet", features(objects=objects), objects=found)


@layout(
    "imagefolder with metadata.csv",
    "Hugging Face",
    tasks=LABEL,
    by_hand=one(format="huggingface", targets={"label": "label"}),
    splits=True,
)
def _(d: Path) -> None:
    for split, folder in (("train", "train"), ("val", "validation"), ("test", "test")):

        def row(i: int, folder: str = folder) -> str:
            return f"{image(d / folder / f'im{i}.png', i).name},{kind(i)}"

        rows(d / folder / "metadata.csv", "file_name,label", row, [i for i in range(NUMBER) if part(i) == split])


def tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    """A tar file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@layout(
    "WebDataset with cls",
    "webdataset",
    tasks=LABEL,
    by_hand=one(format="webdataset", targets={"label": {"column": "cls", "kind": "label"}}),
    names={"cat": "0", "dog": "1"},
)
def _(d: Path) -> None:
    members = [
        member for i in range(NUMBER) for member in ((f"im{i}.png", encoded(i)), (f"im{i}.cls", str(i % 2).encode()))
    ]
    tar(d / "shard-000.tar", members)


@layout(
    "WebDataset with json",
    "webdataset, img2dataset",
    tasks=LABEL,
    by_hand=one(format="webdataset", targets={"label": {"column": "json:label", "kind": "label"}}),
)
def _(d: Path) -> None:
    documents = [json.dumps({"label": kind(i)}).encode() for i in range(NUMBER)]
    tar(
        d / "shard-000.tar",
        [m for i in range(NUMBER) for m in ((f"im{i}.png", encoded(i)), (f"im{i}.json", documents[i]))],
    )


@layout("pictures alone", "a camera", refused="no format that is known|no class")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / f"im{i}.png", i)


@layout("images/ without labels", "an export that lost its other half", refused="no class|one folder|no format")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "set" / "images" / f"im{i}.png", i)
        image(d / "set" / "JPEGImages" / f"im{i}.jpg", 100 + i)


@layout("masks saved as JPEG", "a wrong export", refused="compression that changes values|JPEG")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        region(d / "masks" / f"im{i}.jpg", i, 255, 255)


@layout("COCO captions alone", "cocodataset.org", refused="captions")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
    written(
        d / "captions.json",
        {
            "images": coco("")["images"],
            "annotations": [{"id": i, "image_id": i, "caption": "a"} for i in range(NUMBER)],
        },
    )


@layout("COCO predictions, a bare list", "pycocotools' results", refused="predictions|results|coco")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
    written(
        d / "results.json",
        [{"image_id": i, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5} for i in range(NUMBER)],
    )


@layout("YOLO lines in pixels", "a home-made converter", refused="pixels|shares")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
        written(d / "labels" / f"im{i}.txt", f"{i % 2} {' '.join(map(str, box(i)))}\n")
    written(d / "data.yaml", "names: [cat, dog]\n")


@layout("CVAT for video", "CVAT", refused="video")
def _(d: Path) -> None:
    for i in range(NUMBER):
        image(d / "images" / f"im{i}.png", i)
    track = '<track id="0" label="cat"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9" outside="0"></box></track>'
    written(d / "annotations.xml", f"<annotations><version>1.1</version><meta></meta>{track}</annotations>")


def page() -> str:
    """docs/layouts.md."""
    lines = [
        "# Layouts of data sets, and what becomes of them",
        "",
        "Made of `tests/data/layouts.py` by `python -m tests.data.layouts`; `tests/data/test_layouts.py` builds each of them, proposes, reads what was",
        "proposed and what a person would write by hand, and compares classes, boxes to a pixel, masks and splits with what was drawn.",
        "Every file is accounted for in each. None is read wrongly in silence.",
        "",
        "| layout | written by | `mtl data init` | by hand |",
        "| --- | --- | --- | --- |",
    ]
    for one_ in LAYOUTS:
        learnt = ", ".join(one_.tasks.values())
        proposed = f"refused: {one_.refused.split('|')[0]} …" if one_.refused else f"right: {learnt}"
        lines.append(f"| {one_.name} | {one_.origin} | {proposed} | {'right' if one_.by_hand else '–'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")

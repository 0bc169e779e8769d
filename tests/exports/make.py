"""Write one small data set in every format that other tools export, as zips beside this file. Run by hand, in an environment of its
own, for none of its imports is needed by the project:

    uv venv their && uv pip install --python their/bin/python datumaro supervision label-studio-sdk supervisely labelme
    their/bin/python tests/exports/make.py
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
CLASSES = ("person", "dog", "car")  # in no order that sorting gives
COLOURS = ((220, 60, 60), (60, 200, 80), (70, 90, 230))
SPLITS = {"train": 6, "val": 3, "test": 3}
WIDTH, HEIGHT = 64, 48


@dataclass
class Thing:
    """An L, filling three quarters of its box. points: x, y, x, y …"""

    label: str
    x: int
    y: int
    width: int
    height: int
    points: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.x, self.y, self.x + self.width, self.y + self.height
        xm, ym = self.x + self.width // 2, self.y + self.height // 2
        self.points = [x1, y1, x2, y1, x2, ym, xm, ym, xm, y2, x1, y2]

    def mask(self) -> np.ndarray:
        found = np.zeros((HEIGHT, WIDTH), bool)
        found[self.y : self.y + self.height // 2, self.x : self.x + self.width] = True
        found[self.y : self.y + self.height, self.x : self.x + self.width // 2] = True
        return found


@dataclass
class Scene:
    name: str
    split: str
    things: list[Thing]

    def pixels(self, number: int = 0) -> np.ndarray:
        found = np.full((HEIGHT, WIDTH, 3), (30 + 9 * int(self.name[-2:]), 40 + 11 * len(self.split), 60), np.uint8)
        for thing in self.things:
            found[thing.mask()] = COLOURS[CLASSES.index(thing.label)]
        return found

    def png(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.pixels()).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def scenes(most: int = 2) -> list[Scene]:
    """Pictures with one thing or two."""
    rng, found, number = np.random.default_rng(7), [], 0
    for split, count in SPLITS.items():
        for place in range(count):
            things = [
                Thing(
                    CLASSES[(number + k) % 3],
                    int(3 + 30 * k + rng.integers(0, 8)),
                    int(rng.integers(3, 16)),
                    int(2 * rng.integers(5, 10)),
                    int(2 * rng.integers(4, 11)),
                )
                for k in range(1 + number % 2)
            ]
            found.append(Scene(f"{split}_{place + 1:02d}", split, things[:most]))
            number += 1
    return found


def classes(kinds: set[str]) -> list[str]:
    """Formats of maps have a class for what is none."""
    return ["background", *CLASSES] if "coloured" in kinds else [*CLASSES]


def datumaro_items(kinds: set[str]) -> Iterator[Any]:
    import datumaro
    from datumaro.components import annotation as a
    from datumaro.components.media import Image as Picture

    names = classes(kinds)
    for scene in scenes(1 if "one" in kinds else 2):
        found: list[Any] = []
        for place, thing in enumerate(scene.things, 1):
            label, sides = names.index(thing.label), (thing.x, thing.y, thing.width, thing.height)
            same = {
                "label": label,
                "group": place,
                "id": place,
                "attributes": {"track_id": place, "index": place, "text": "a"},
            }
            if "bbox" in kinds:
                found.append(a.Bbox(*sides, **same))
            if "rotated" in kinds:
                centre = (thing.x + thing.width / 2, thing.y + thing.height / 2)
                found.append(a.RotatedBbox(*centre, thing.width, thing.height, 0, **same))
            if "polygon" in kinds:
                found.append(a.Polygon(thing.points, **same))
            if "mask" in kinds:
                found.append(a.Mask(thing.mask(), **same))
            if "points" in kinds:
                found.append(a.Points([thing.x + 1, thing.y + 1, thing.x + 5, thing.y + 5], **same))
        if "label" in kinds:
            found.append(a.Label(names.index(scene.things[0].label)))
        if "caption" in kinds:
            found.append(a.Caption("a thing"))
        pixels = scene.pixels()
        if "tiny" in kinds:  # 28×28, grey
            pixels = np.pad(pixels[::2, ::2][:, :28, 0], ((0, 4), (0, 0)))
        if "small" in kinds:  # 32×32
            pixels = np.pad(pixels[::2, ::2], ((0, 8), (0, 0), (0, 0)))
        yield datumaro.DatasetItem(
            f"{scene.things[0].label}/{scene.name}" if "folder" in kinds else scene.name,
            subset=scene.split,
            media=Picture.from_numpy(pixels),
            annotations=found,
            attributes={"frame": int(scene.name[-2:]), "person_id": 1, "camera_id": 1, "track_id": 1, "frame_id": 1},
        )


DATUMARO = {
    "camvid": "mask coloured",
    "cifar": "label small",
    "cityscapes": "mask coloured",
    "coco": "bbox polygon",
    "coco_captions": "caption",
    "coco_image_info": "",
    "coco_instances": "polygon",
    "coco_labels": "label",
    "coco_panoptic": "mask",
    "coco_person_keypoints": "bbox points",
    "coco_stuff": "mask",
    "cvat": "bbox label",
    "datumaro": "bbox polygon mask label",
    "datumaro_binary": "bbox",
    "arrow": "bbox",
    "dota": "rotated",
    "icdar_text_localization": "bbox",
    "icdar_text_segmentation": "mask",
    "icdar_word_recognition": "caption",
    "image_dir": "",
    "image_zip": "",
    "imagenet": "label",
    "imagenet_txt": "label",
    "imagenet_with_subset_dirs": "label",
    "kitti": "bbox mask coloured",
    "kitti_detection": "bbox",
    "kitti_segmentation": "mask coloured",
    "label_me": "bbox polygon mask",
    "lfw": "label points",
    "market1501": "label",
    "mnist": "label tiny",
    "mnist_csv": "label tiny",
    "mot_seq_gt": "bbox",
    "mots_png": "mask",
    "mvtec_classification": "label folder",
    "mvtec_detection": "bbox folder",
    "mvtec_segmentation": "mask folder",
    "open_images": "label bbox mask",
    "segment_anything": "mask",
    "vgg_face2": "bbox one",
    "voc": "bbox mask label",
    "voc_action": "bbox",
    "voc_classification": "label",
    "voc_detection": "bbox",
    "voc_instance_segmentation": "mask",
    "voc_layout": "bbox",
    "voc_segmentation": "mask",
    "wider_face": "bbox",
    "yolo": "bbox",
    "yolo_ultralytics": "bbox",
}
"""Format → what is annotated. Not here: ava (it needs protobuf), kitti_raw and sly_pointcloud (points in space), tabular."""


def datumaro_export(folder: Path, form: str, kinds: str) -> None:
    import datumaro
    from datumaro.components.annotation import AnnotationType, LabelCategories, MaskCategories
    from datumaro.components.media import Image as Picture

    known = {*kinds.split()}
    categories: dict[Any, Any] = {AnnotationType.label: LabelCategories.from_iterable(classes(known))}
    if "coloured" in known:
        categories[AnnotationType.mask] = MaskCategories(dict(enumerate([(0, 0, 0), *COLOURS])))
    found = datumaro.Dataset.from_iterable(list(datumaro_items(known)), categories=categories, media_type=Picture)
    # JPEG changes pixels and costs three times as much; these formats have fixed names.
    fixed = form in ("cifar", "mnist", "mnist_csv", "wider_face", "market1501", "mot_seq_gt", "mots_png", "arrow")
    found.export(str(folder), form, save_media=True, **({} if fixed else {"image_ext": ".png"}))


def supervision_set(split: str, folder: Path, *, masks: bool) -> Any:
    import supervision as sv

    annotations, paths = {}, []
    for scene in scenes():
        if scene.split != split:
            continue
        path = folder / f"{scene.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scene.png())
        boxes = [[t.x, t.y, t.x + t.width, t.y + t.height] for t in scene.things]
        annotations[str(path)] = sv.Detections(
            xyxy=np.array(boxes, float),
            class_id=np.array([CLASSES.index(t.label) for t in scene.things]),
            mask=np.array([t.mask() for t in scene.things]) if masks else None,
        )
        paths.append(str(path))
    return sv.DetectionDataset(classes=[*CLASSES], images=paths, annotations=annotations)


def supervision_export(folder: Path, form: str, *, masks: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for split in SPLITS:
            found = supervision_set(split, Path(scratch, split), masks=masks)
            images = str(folder / split / "images")
            if form == "coco":
                found.as_coco(images, str(folder / split / "annotations.json"))
            elif form == "yolo":
                found.as_yolo(images, str(folder / split / "labels"), str(folder / "data.yaml"))
            elif form == "createml":
                found.as_createml(images, str(folder / split / "_annotations.createml.json"))
            else:
                getattr(found, f"as_{form}")(images, str(folder / split / "annotations"))


def supervision_folders(folder: Path) -> None:
    import supervision as sv

    with tempfile.TemporaryDirectory() as scratch:
        for split in SPLITS:
            mine = [scene for scene in scenes() if scene.split == split]
            paths = [Path(scratch, f"{scene.name}.png") for scene in mine]
            for path, scene in zip(paths, mine, strict=True):
                path.write_bytes(scene.png())
            labels = {
                str(path): sv.Classifications(class_id=np.array([CLASSES.index(scene.things[0].label)]))
                for path, scene in zip(paths, mine, strict=True)
            }
            found = sv.ClassificationDataset([*CLASSES], [*labels], labels)
            found.as_folder_structure(str(folder / split))


def labelme_export(folder: Path) -> None:
    from labelme._label_file import LabelFile

    for scene in scenes():
        path = folder / scene.split / f"{scene.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scene.png())
        shapes = [
            {
                "label": thing.label,
                "points": np.reshape(thing.points, (-1, 2)).astype(float).tolist(),
                "shape_type": "polygon",
                "flags": {},
                "description": "",
                "group_id": None,
                "mask": None,
            }
            for thing in scene.things
        ]
        LabelFile().save(
            filename=str(path.with_suffix(".json")),
            shapes=shapes,
            image_path=path.name,
            image_height=HEIGHT,
            image_width=WIDTH,
            flags={name: name in {t.label for t in scene.things} for name in CLASSES},
        )


CONFIG = """<View><Image name="picture" value="$image"/>
<RectangleLabels name="box" toName="picture">{labels}</RectangleLabels>
<Choices name="first" toName="picture">{choices}</Choices></View>"""


def label_studio_tasks() -> list[dict[str, Any]]:
    """As Label Studio's own JSON export has them."""
    found = []
    for number, scene in enumerate(scenes(), 1):
        result: list[dict[str, Any]] = [
            {
                "original_width": WIDTH,
                "original_height": HEIGHT,
                "image_rotation": 0,
                "value": {
                    "x": 100 * thing.x / WIDTH,
                    "y": 100 * thing.y / HEIGHT,
                    "width": 100 * thing.width / WIDTH,
                    "height": 100 * thing.height / HEIGHT,
                    "rotation": 0,
                    "rectanglelabels": [thing.label],
                },
                "id": f"r{place}",
                "from_name": "box",
                "to_name": "picture",
                "type": "rectanglelabels",
                "origin": "manual",
            }
            for place, thing in enumerate(scene.things)
        ]
        choice = {"value": {"choices": [scene.things[0].label]}, "id": "c", "from_name": "first", "to_name": "picture"}
        result.append({**choice, "type": "choices", "origin": "manual"})
        annotation = {"id": number, "completed_by": 1, "result": result, "was_cancelled": False, "ground_truth": False}
        annotation |= {"created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z", "lead_time": 3.5}
        data = {"image": f"/data/upload/1/{number:08x}-{scene.name}.png"}
        found.append({"id": number, "annotations": [annotation], "data": data, "project": 1, "predictions": []})
    return found


def label_studio_export(folder: Path, form: str) -> None:
    from label_studio_sdk.converter import Converter

    tags = {
        "labels": "".join(f'<Label value="{name}"/>' for name in CLASSES),
        "choices": "".join(f'<Choice value="{name}"/>' for name in CLASSES),
    }
    uploads = folder.parent / "label-studio" / "data" / "upload" / "1"
    uploads.mkdir(parents=True)
    for number, scene in enumerate(scenes(), 1):
        (uploads / f"{number:08x}-{scene.name}.png").write_bytes(scene.png())
    tasks = folder.parent / "tasks.json"
    tasks.write_text(json.dumps(label_studio_tasks()))
    converter = Converter(CONFIG.format(**tags), str(folder), upload_dir=str(uploads.parent))
    converter.convert(str(tasks), str(folder), form, is_dir=False)
    # The server puts pictures into the zips of boxes; to the others a person copies its folder of uploads.
    shutil.copytree(
        uploads, folder / ("upload/1" if form in ("JSON", "JSON_MIN", "CSV") else "images"), dirs_exist_ok=True
    )


def supervisely_export(folder: Path) -> None:
    import supervisely as sly

    project = sly.Project(str(folder), sly.OpenMode.CREATE)
    classes = {name: sly.ObjClass(name, sly.Polygon) for name in CLASSES}
    tag = sly.TagMeta("first", sly.TagValueType.ONEOF_STRING, possible_values=[*CLASSES])
    project.set_meta(sly.ProjectMeta(sly.ObjClassCollection([*classes.values()]), sly.TagMetaCollection([tag])))
    for split in SPLITS:
        dataset = project.create_dataset(split)
        for scene in scenes():
            if scene.split != split:
                continue
            labels = [sly.Label(_supervisely(sly, thing), classes[thing.label]) for thing in scene.things]
            said = sly.TagCollection([sly.Tag(tag, scene.things[0].label)])
            annotation = sly.Annotation((HEIGHT, WIDTH), labels, said)
            dataset.add_item_np(f"{scene.name}.png", scene.pixels(), annotation)


def _supervisely(sly: Any, thing: Thing) -> Any:
    """Their corners are pixels, the last of which is inside."""
    inside = [
        sly.PointLocation(y - (y > thing.y), x - (x > thing.x))
        for x, y in zip(thing.points[::2], thing.points[1::2], strict=True)
    ]
    return sly.Polygon(inside)


Writer = Callable[[Path], None]
OTHERS: dict[str, Writer] = {
    "supervision_coco": lambda folder: supervision_export(folder, "coco", masks=False),
    "supervision_coco_masks": lambda folder: supervision_export(folder, "coco", masks=True),
    "supervision_yolo": lambda folder: supervision_export(folder, "yolo", masks=False),
    "supervision_yolo_masks": lambda folder: supervision_export(folder, "yolo", masks=True),
    "supervision_voc": lambda folder: supervision_export(folder, "pascal_voc", masks=False),
    "supervision_voc_masks": lambda folder: supervision_export(folder, "pascal_voc", masks=True),
    "supervision_createml": lambda folder: supervision_export(folder, "createml", masks=False),
    "supervision_labelme": lambda folder: supervision_export(folder, "labelme", masks=True),
    "supervision_folders": supervision_folders,
    "labelme": labelme_export,
    "label_studio_json": lambda folder: label_studio_export(folder, "JSON"),
    "label_studio_json_min": lambda folder: label_studio_export(folder, "JSON_MIN"),
    "label_studio_coco": lambda folder: label_studio_export(folder, "COCO"),
    "label_studio_yolo": lambda folder: label_studio_export(folder, "YOLO"),
    "label_studio_voc": lambda folder: label_studio_export(folder, "VOC"),
    "label_studio_csv": lambda folder: label_studio_export(folder, "CSV"),
    "supervisely": supervisely_export,
}


def pack(folder: Path, target: Path) -> None:
    """The same bytes whenever it is made."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (2024, 1, 1, 0, 0, 0))
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    truth = {scene.name: asdict(scene) for scene in scenes()}
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    writers: dict[str, Writer] = {
        f"datumaro_{form}": lambda folder, form=form, kinds=kinds: datumaro_export(folder, form, kinds)
        for form, kinds in DATUMARO.items()
    }
    for name, write in (writers | OTHERS).items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "export")
            write(folder)
            pack(folder, HERE / f"{name}.zip")
        print(name, (HERE / f"{name}.zip").stat().st_size)


if __name__ == "__main__":
    main()

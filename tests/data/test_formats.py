"""Every format: the zoo's real scenes, written in it by a library of somebody else, read by ours, trained for a step."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import globox
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mtl.config import read_params
from mtl.config.params import Config, parse
from mtl.data.loading.loader import Split, collate
from mtl.data.onboard.propose import propose
from mtl.data.prepare.operations import decode
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import FileRef, RawSample, read_problems, read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError, StageError
from mtl.model.sharing import MultiTaskModel
from mtl.objective.combination import Objective
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.train.gradients import SumGradients
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.verdicts import Verdicts
from tests.conftest import ROOT

SPECIES_PALETTE = [0, 0, 0, 250, 10, 10, 10, 10, 250]


def pixels(sample: RawSample) -> np.ndarray:
    """uint8 [height, width, 3]."""
    assert isinstance(sample.image, bytes)
    return decode(sample.image)


def save(path: Path, sample: RawSample) -> Path:
    """The scene as a PNG of Pillow's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(sample)).save(path)
    return path


def boxes_of(scenes: list[RawSample], spec: DatasetSpec) -> globox.AnnotationSet:
    """Everything that globox writes in other formats."""
    classes = spec.targets["objects"].classes
    return globox.AnnotationSet(
        globox.Annotation(
            f"{s.id}.png",
            (64, 64),
            [
                globox.BoundingBox(label=classes[int(c)], xmin=x1, ymin=y1, xmax=x2, ymax=y2)
                for x1, y1, x2, y2, c in s.targets["objects"]
            ],
        )
        for s in scenes
    )


def image_folder(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    for s in scenes:
        save(folder / spec.targets["species"].classes[s.targets["species"]] / f"{s.id}.png", s)
    return {"format": "image_folder", "target": "species", "classes": spec.targets["species"].classes}


def table(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    rows = [
        {
            "file": save(folder / "img" / f"{s.id}.png", s).relative_to(folder).as_posix(),
            "species": spec.targets["species"].classes[s.targets["species"]],
            "count": s.targets["count"] if i % 3 else None,
            "contents": "|".join(spec.targets["contents"].classes[c] for c in s.targets["contents"]),
            "background": s.slices["background"],
        }
        for i, s in enumerate(scenes)
    ]
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return {
        "format": "table",
        "image": "file",
        "targets": {
            "species": {"column": "species", "kind": "label", "classes": spec.targets["species"].classes},
            "count": {"column": "count", "kind": "value"},
            "contents": {"column": "contents", "kind": "labels", "classes": spec.targets["contents"].classes},
        },
        "slices": ["background"],
    }


def coco(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
    numbers = {name: i + 1 for i, name in enumerate(spec.targets["objects"].classes)}
    boxes_of(scenes, spec).save_coco(folder / "annotations.json", label_to_id=numbers, auto_ids=True)
    return {"format": "coco", "images": "images"}


def box_table(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    """As Open Images has it: shares of the sides, and a column that no box is marked in."""
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
    boxes_of(scenes, spec).save_openimage(folder / "train-annotations-bbox.csv")
    return {"format": "box_table", "table": "train-annotations-bbox.csv", "classes": spec.targets["objects"].classes}


def yolo(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    numbers = {name: i for i, name in enumerate(spec.targets["objects"].classes)}
    found = boxes_of(scenes, spec)
    found.save_yolo_v5(folder / "labels", label_to_id=numbers)
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
    (folder / "data.yaml").write_text(f"names: {list(numbers)}\n")
    return {"format": "yolo"}


def yolo_darknet(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    numbers = {name: i for i, name in enumerate(spec.targets["objects"].classes)}
    boxes_of(scenes, spec).save_yolo_darknet(folder / "obj_train_data", label_to_id=numbers)
    for s in scenes:
        save(folder / "obj_train_data" / f"{s.id}.png", s)
    (folder / "obj.names").write_text("\n".join(numbers))
    return {"format": "yolo"}


def cvat(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    boxes_of(scenes, spec).save_cvat(folder / "annotations.xml")
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
    return {"format": "cvat", "classes": spec.targets["objects"].classes}


def voc(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    boxes_of(scenes, spec).save_pascal_voc(folder / "Annotations")
    for s in scenes:
        save(folder / "JPEGImages" / f"{s.id}.png", s)
    return {"format": "voc", "classes": spec.targets["objects"].classes}


def labelme(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    boxes_of(scenes, spec).save_labelme(folder)
    for s in scenes:
        save(folder / f"{s.id}.png", s)
    return {"format": "labelme", "classes": spec.targets["objects"].classes}


def via(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
    boxes_of(scenes, spec).save_via_json(folder / "regions.json", image_folder=folder / "images")
    return {"format": "via", "classes": spec.targets["objects"].classes}


def mask_pairs(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
        mask = Image.fromarray(decode(s.targets["regions"], "grey")[..., 0], mode="P")
        mask.putpalette(SPECIES_PALETTE)
        (folder / "masks").mkdir(exist_ok=True)
        mask.save(folder / "masks" / f"{s.id}.png")
    return {"format": "mask_pairs", "classes": spec.targets["regions"].classes}


def depth_pairs(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    for s in scenes:
        save(folder / "images" / f"{s.id}.png", s)
        (folder / "depths").mkdir(exist_ok=True)
        Image.fromarray(depth_steps(s)).save(folder / "depths" / f"{s.id}.png")
    return {"format": "depth_pairs"}


def depth_steps(sample: RawSample) -> np.ndarray:
    """uint16 [64, 64]: a made-up depth, unknown at the digit."""
    regions = decode(sample.targets["regions"], "grey")[..., 0].astype(np.uint16)
    return np.where(regions == 1, 0, 3000 - 1000 * (regions == 2)).astype(np.uint16)


def huggingface(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    import datasets

    def columns(samples: list[RawSample]) -> dict[str, list[Any]]:
        return {
            "image": [{"bytes": s.image, "path": None} for s in samples],
            "species": [s.targets["species"] for s in samples],
            "count": [s.targets["count"] for s in samples],
            "objects": [
                {
                    "bbox": [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2, _ in s.targets["objects"]],
                    "category": [int(b[4]) for b in s.targets["objects"]],
                }
                for s in samples
            ],
        }

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "species": datasets.ClassLabel(names=list(spec.targets["species"].classes)),
            "count": datasets.Value("float32"),
            "objects": {
                "bbox": datasets.List(datasets.List(datasets.Value("float32"), 4)),
                "category": datasets.List(datasets.ClassLabel(names=list(spec.targets["objects"].classes))),
            },
        }
    )
    datasets.Dataset.from_dict(columns(scenes), features).save_to_disk(str(folder))
    return {"format": "huggingface", "targets": {"species": "species", "count": "count", "objects": "objects"}}


def huggingface_parquet(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    import datasets

    settings = huggingface(folder / "arrow", scenes, spec)
    loaded = datasets.load_from_disk(str(folder / "arrow"))
    assert isinstance(loaded, datasets.Dataset)
    loaded.to_parquet(str(folder / "train-00000-of-00001.parquet"))
    shutil.rmtree(folder / "arrow")
    return settings


def webdataset(folder: Path, scenes: list[RawSample], spec: DatasetSpec) -> dict[str, Any]:
    from webdataset.writer import ShardWriter

    with ShardWriter(str(folder / "shard-%03d.tar"), maxcount=16, verbose=0) as writer:
        for s in scenes:
            sample = {
                "__key__": s.id,
                "png": s.image,
                "cls": s.targets["species"],
                "json": {"count": s.targets["count"]},
            }
            writer.write(sample | {"seg.png": s.targets["regions"]})
    return {
        "format": "webdataset",
        "targets": {
            "species": {"column": "cls", "kind": "label", "classes": spec.targets["species"].classes},
            "count": {"column": "json:count", "kind": "value"},
            "regions": {"column": "seg.png", "kind": "mask", "classes": spec.targets["regions"].classes},
        },
    }


Writer = Callable[[Path, list[RawSample], DatasetSpec], dict[str, Any]]
WRITERS: dict[str, Writer] = {
    "image_folder": image_folder,
    "table": table,
    "box_table": box_table,
    "coco": coco,
    "yolo": yolo,
    "yolo_darknet": yolo_darknet,
    "cvat": cvat,
    "voc": voc,
    "labelme": labelme,
    "via": via,
    "mask_pairs": mask_pairs,
    "depth_pairs": depth_pairs,
    "huggingface": huggingface,
    "huggingface_parquet": huggingface_parquet,
    "webdataset": webdataset,
}


def configured(sets: dict[str, Any], tasks: dict[str, Any], **source: Any) -> Config:
    """params.yaml for these sets."""
    values = read_params(ROOT / "params.yaml")
    values["data"]["source"] = {
        "type": "files",
        "sets": sets,
        "split": {"type": "random", "val": 0.2, "test": 0.2},
    } | source
    values["data"]["shard_size"] = 8
    values["tasks"] = tasks
    return parse(values)


TASKS = {
    "species": {"type": "classification"},
    "count": {"type": "regression"},
    "contents": {"type": "multilabel"},
    "objects": {"type": "detection"},
    "regions": {"type": "segmentation"},
    "depth": {"type": "depth"},
}


def fetched(config: Config, folder: Path) -> DatasetSpec:
    """The raw folder of a source of files."""
    return fetch_files(config.data.source, 0, folder, folder.parent / "cache")  # type: ignore[arg-type]


def one_step(config: Config, prepared: Path) -> torch.Tensor:
    """Losses of one training step on eight images."""
    split = Split(prepared, "train")
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    model: MultiTaskModel = build_model(config.model, tasks)
    objective = Objective(config.objective, config.tasks)
    method = SumGradients(model, tasks, objective, ProcessGroup())
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, fused=True)
    verdicts, batch = Verdicts(ProcessGroup(), list(tasks)), collate(split, np.arange(8))
    found, _ = train_step(method, optimizer, [batch], step=0, clip_norm=0.0, verdicts=verdicts)
    assert not verdicts.read()[0].left_out
    return found.losses


@pytest.mark.parametrize("name", WRITERS)
def test_a_format_gives_what_was_written_and_trains(
    name: str, scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    settings = {"path": str(given)} | WRITERS[name](given, scenes, spec)
    probe = configured({"own": settings}, {"species": TASKS["species"]})
    targets = fetched(probe, tmp_path / "raw").targets
    config = configured({"own": settings}, {t: TASKS[t] for t in targets})
    assert read_problems(tmp_path / "raw") == []
    prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    by_image = {pixels(s).tobytes(): s for s in scenes}
    seen = 0
    for split_name in SPLITS:
        split = Split(tmp_path / "prepared", split_name)
        for start in range(len(split)):
            rows = split.rows(np.array([start]))
            wanted = by_image[rows["image"][0].tobytes()]
            seen += 1
            for target in targets:
                _compare(target, rows, wanted, split.spec, spec)
    assert seen == len(scenes)
    assert torch.isfinite(one_step(config, tmp_path / "prepared")).all()
    proposal = propose(str(given))
    assert proposal.format == settings["format"]
    assert set(proposal.tasks) & ({*targets} | {"label"})


@pytest.mark.parametrize("name", ["huggingface", "huggingface_parquet", "webdataset"])
def test_embedded_images_are_told_apart_from_other_bytes(
    name: str, scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    given, raw = tmp_path / "given", tmp_path / "raw"
    given.mkdir()
    settings = {"path": str(given)} | WRITERS[name](given, scenes, spec)
    config = configured({"own": settings}, {"species": TASKS["species"]})
    found = fetched(config, raw)
    samples = [sample for split in SPLITS for sample in read_split(raw, split, found)]
    assert len(samples) == len(scenes)
    assert all(isinstance(sample.image, FileRef) for sample in samples)
    records = found.sources
    shutil.rmtree(given)
    given.mkdir()
    WRITERS[name](given, scenes[::-1], spec)  # the same images, elsewhere
    with pytest.raises(StageError, match="has changed since it was read"):
        prepare(config.data, raw, tmp_path / "prepared")
    # A tar's keys are the ids: wherever its members lie, it is the same set. Of tables rows are.
    assert (fetched(config, raw).sources == records) == (name == "webdataset")
    prepare(config.data, raw, tmp_path / "prepared")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_compressed_tar_is_read_whatever_its_name(
    suffix: str, scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    settings = {"path": str(given)} | WRITERS["webdataset"](given, scenes, spec)
    for path in list(given.iterdir()):
        path.with_name(f"{path.stem}-packed{suffix}").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    config = configured({"own": settings}, {"species": TASKS["species"]})
    found = fetched(config, tmp_path / "raw")
    samples = {sample.id: sample for split in SPLITS for sample in read_split(tmp_path / "raw", split, found)}
    assert {i: sample.image for i, sample in samples.items()} == {scene.id: scene.image for scene in scenes}


def _compare(target: str, rows: dict[str, Any], wanted: RawSample, found: DatasetSpec, spec: DatasetSpec) -> None:
    if target == "depth":
        steps = depth_steps(wanted)
        assert np.array_equal(
            rows["depth"][0], np.where(steps == 0, np.nan, steps * 0.001).astype(np.float32), equal_nan=True
        )
    elif target == "regions":
        assert (rows["regions"][0] == decode(wanted.targets["regions"], "grey")[..., 0]).all()
    elif target == "objects":
        names = found.targets["objects"].classes
        boxes = sorted((names[int(row[4])], *row[:4].round(1).tolist()) for row in rows["objects"][0])
        classes = spec.targets["objects"].classes
        assert len(boxes) == len(wanted.targets["objects"])
        for box, other in zip(
            boxes, sorted((classes[int(b[4])], *b[:4]) for b in wanted.targets["objects"]), strict=True
        ):
            assert box[0] == other[0]
            assert np.abs(np.array(box[1:]) - np.array(other[1:])).max() <= 1.0  # VOC counts whole pixels from 1
    elif not rows[f"{target}.present"][0]:
        assert target == "count"
    elif target == "contents":
        assert np.flatnonzero(rows["contents"][0]).tolist() == wanted.targets["contents"]
    else:
        assert rows[target][0] == wanted.targets[target]


def test_two_formats_are_joined_by_image_id(scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path) -> None:
    """Boxes of all images in COCO, masks of half of them in pairs: one set with partial labels."""
    boxes = {"path": str(tmp_path / "a")} | coco(tmp_path / "a", scenes, spec)
    masks = {"path": str(tmp_path / "b")} | mask_pairs(tmp_path / "b", scenes[::2], spec)
    config = configured({"a": boxes, "b": masks}, {"objects": TASKS["objects"], "regions": TASKS["regions"]})
    found = fetched(config, tmp_path / "raw")
    assert set(found.targets) == {"objects", "regions"}
    samples = {s.id: s for split in SPLITS for s in read_split(tmp_path / "raw", split, found)}
    assert len(samples) == len(scenes)
    assert sum("regions" in s.targets for s in samples.values()) == len(scenes[::2])
    prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    assert torch.isfinite(one_step(config, tmp_path / "prepared")).all()


def test_copies_share_a_split_and_contradictions_are_left_out(
    scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    settings = {"path": str(given)} | image_folder(given, scenes, spec)
    first, second = sorted(given.rglob("*.png"))[0], sorted(given.rglob("*.png"))[-1]
    shutil.copy(first, first.with_name("zz-copy.png"))
    shutil.copy(second, given / "bear" / "zz-other-label.png")
    config = configured({"own": settings}, {"species": TASKS["species"]})
    found = fetched(config, tmp_path / "raw")
    assert found.notes == {"copies_dropped": 2}
    reasons = dict(read_problems(tmp_path / "raw"))
    assert len(reasons) == 2
    assert all("same bytes" in reason for reason in reasons.values())
    ids = [s.id for split in SPLITS for s in read_split(tmp_path / "raw", split, found)]
    assert len(ids) == len(scenes) - 1
    kept = configured({"own": settings}, {"species": TASKS["species"]}, duplicates="keep")
    found = fetched(kept, tmp_path / "raw2")
    where = {s.id: split for split in SPLITS for s in read_split(tmp_path / "raw2", split, found)}
    name = first.relative_to(given).with_suffix("").as_posix()
    assert where[name] == where[name.rsplit("/", 1)[0] + "/zz-copy"]


def _zip(folder: Path, out: Path) -> None:
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def _tar(folder: Path, out: Path) -> None:
    with tarfile.open(out, "w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder), recursive=False)


@pytest.mark.parametrize(("suffix", "pack"), [(".zip", _zip), (".tar.gz", _tar)])
def test_an_archive_is_read_as_its_folder_would_be(
    suffix: str, pack: Callable[[Path, Path], None], scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    settings = image_folder(given, scenes, spec)
    pack(given, tmp_path / f"all{suffix}")
    keys: list[list[str]] = []
    for number, path in enumerate((given, tmp_path / f"all{suffix}")):
        config = configured({"own": settings | {"path": str(path)}}, {"species": TASKS["species"]})
        found = fetched(config, tmp_path / f"raw{number}")
        keys.append([s.key for split in SPLITS for s in read_split(tmp_path / f"raw{number}", split, found)])
        prepare(config.data, tmp_path / f"raw{number}", tmp_path / f"prepared{number}")
    assert keys[0] == keys[1]
    files = [sorted(p.name for p in (tmp_path / f"prepared{n}").glob("*.safetensors")) for n in (0, 1)]
    assert files[0] == files[1]


def test_an_archive_with_a_member_outside_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("../escaped.png")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    settings = {"path": str(tmp_path / "bad.tar"), "format": "image_folder"}
    config = configured({"own": settings}, {"label": TASKS["species"]})
    with pytest.raises(DataError, match="lies outside"):
        fetched(config, tmp_path / "raw")
    assert not (tmp_path.parent / "escaped.png").exists()


def test_new_images_move_no_old_one(scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path) -> None:
    given = tmp_path / "given"
    places: list[dict[str, str]] = []
    for number, some in enumerate((scenes[:20], scenes)):
        settings = {"path": str(given)} | image_folder(given, some, spec)
        for kind in ({"type": "random", "val": 0.2, "test": 0.2}, {"type": "folds", "folds": 3, "index": 1}):
            config = configured({"own": settings}, {"species": TASKS["species"]}, split=kind)
            out = tmp_path / f"raw{number}{kind['type']}"
            found = fetched(config, out)
            places.append({s.id: split for split in SPLITS for s in read_split(out, split, found)})
    for before, after in ((places[0], places[2]), (places[1], places[3])):
        assert before.items() <= after.items()


def test_splits_by_group_time_and_table(scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    settings = {"path": str(folder)} | table(folder, scenes, spec)
    rows = pd.read_csv(folder / "table.csv")
    rows["patient"] = [f"p{i % 7}" for i in range(len(rows))]
    rows["day"] = [f"2026-{1 + i // 10:02d}-{1 + i % 10:02d}" for i in range(len(rows))]
    rows.to_csv(folder / "table.csv", index=False)
    tasks = {"species": TASKS["species"]}

    def placed(extra: dict[str, Any], split: dict[str, Any]) -> dict[str, str]:
        out = tmp_path / f"raw-{split['type']}-{len(extra)}"
        found = fetched(configured({"own": settings | extra}, tasks, split=split), out)
        return {s.id: name for name in SPLITS for s in read_split(out, name, found)}

    grouped = placed({"group": "patient"}, {"type": "random", "val": 0.3, "test": 0.3})
    tuples: Any = rows.itertuples()
    ids = {Path(row.file).with_suffix("").as_posix(): row for row in tuples}
    by_patient: dict[str, set[str]] = {}
    for found, split in grouped.items():
        by_patient.setdefault(ids[found].patient, set()).add(split)
    assert all(len(splits) == 1 for splits in by_patient.values())
    timed = placed({"time": "day"}, {"type": "time", "val_from": "2026-03-01", "test_from": "2026-04-01"})
    for found, split in timed.items():
        month = int(ids[found].day[5:7])
        assert split == ("train" if month < 3 else "val" if month == 3 else "test")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "image_folder", "path": "nowhere"}, "is not there"),
        (
            {"format": "table", "path": ".", "table": "gone.csv", "targets": {"a": {"column": "a", "kind": "value"}}},
            "gone.csv",
        ),
        ({"format": "coco", "path": ".", "annotations": "pyproject.toml"}, "not JSON"),
        ({"format": "yolo", "path": "docs"}, "classes"),
        ({"format": "voc", "path": "docs"}, "no classes"),
        ({"format": "webdataset", "path": "docs", "targets": {}}, "no tar"),
        ({"format": "huggingface", "path": "docs", "targets": {}}, "cannot be read"),
        ({"format": "mask_pairs", "path": "docs", "classes": ["a"]}, "no image has a partner"),
    ],
)
def test_what_cannot_be_read_is_explained(
    settings: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    config = configured({"own": settings}, {"label": TASKS["species"]})
    with pytest.raises(DataError, match=message):
        fetched(config, tmp_path / "raw")


def test_a_web_server_is_read_as_its_folder_would_be(
    scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_LOCAL_SERVERS", "1")
    given = tmp_path / "given"
    settings = image_folder(given, scenes, spec)
    handler = functools.partial(QuietHandler, directory=str(given))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        keys: list[list[str]] = []
        for number, path in enumerate((str(given), url)):
            config = configured({"own": settings | {"path": path}}, {"species": TASKS["species"]})
            found = fetched(config, tmp_path / f"raw{number}")
            keys.append([s.key for split in SPLITS for s in read_split(tmp_path / f"raw{number}", split, found)])
        server.shutdown()
    assert keys[0] == keys[1]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, without a line per request."""

    def log_message(self, format: str, *args: object) -> None:
        return


def test_coco_files_of_several_splits_are_one_proposal(
    scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    """As COCO itself is laid out; file names may be the same in all folders."""
    given = tmp_path / "coco"
    numbers = {name: i + 1 for i, name in enumerate(spec.targets["objects"].classes)}
    for place, split in enumerate(("train2017", "val2017", "test2017")):
        part = scenes[10 * place : 10 * place + 10]
        found = boxes_of(part, spec)
        renamed = globox.AnnotationSet(
            globox.Annotation(f"{n:012d}.png", (64, 64), found[f"{s.id}.png"].boxes) for n, s in enumerate(part)
        )
        (given / "annotations").mkdir(parents=True, exist_ok=True)
        renamed.save_coco(given / "annotations" / f"instances_{split}.json", label_to_id=numbers, auto_ids=True)
        for n, s in enumerate(part):
            save(given / split / f"{n:012d}.png", s)
    proposal = propose(str(given))
    assert len(proposal.source["sets"]) == 3
    assert proposal.source["split"] == {"type": "given"}
    config = configured(proposal.source["sets"], {"objects": TASKS["objects"]}, split={"type": "given"})
    found = fetched(config, tmp_path / "raw")
    assert read_problems(tmp_path / "raw") == []
    sizes = {split: len(list(read_split(tmp_path / "raw", split, found))) for split in SPLITS}
    assert sizes == {"train": 10, "val": 10, "test": 10}

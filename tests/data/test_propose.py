"""What `mtl data init` makes of a folder: the format that is there, or a refusal with its fault; never one class, never a
folder's structure for classes; and what is proposed can be run."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.config import read_params
from mtl.config.params import Config, parse
from mtl.data.onboard.image_folder import structural_names
from mtl.data.onboard.proposal import sections_as_yaml
from mtl.data.onboard.propose import Proposal, propose
from mtl.data.onboard.recipe import recipe, side
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.account import Account, read_account
from mtl.data.raw.rows import read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from tests.conftest import ROOT
from tests.data.drawn import mask, picture, written


def run(proposal: Proposal, folder: Path) -> tuple[dict[str, list[str]], Account]:
    """The proposal through fetch and prepare: ids by split, and the account."""
    config: Config = parse({**read_params(ROOT / "params.yaml"), **proposal.sections})
    spec = fetch_files(config.data.source, 0, folder / "raw", folder / "home" / "downloads")  # type: ignore[arg-type]
    prepare(config.data, folder / "raw", folder / "prepared")
    return {s: [one.id for one in read_split(folder / "raw", s, spec)] for s in SPLITS}, read_account(folder / "raw")


def classes_in(folder: Path, number: int = 40, names: tuple[str, ...] = ("cat", "dog")) -> None:
    for i in range(number):
        picture(folder / names[i % len(names)] / f"{i}.jpg", i)


def test_a_folder_a_class(tmp_path: Path) -> None:
    classes_in(tmp_path / "given")
    proposal = propose(str(tmp_path / "given"))
    assert proposal.format == "image_folder"
    splits, account = run(proposal, tmp_path)
    assert sum(map(len, splits.values())) == 40
    assert account.files[0].used == 40
    assert "image_folder" in sections_as_yaml(proposal)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("packed", [True, False])
def test_a_sole_top_folder_is_stepped_into(tmp_path: Path, depth: int, packed: bool) -> None:
    top = tmp_path / "given" / Path(*["photos", "all"][:depth])
    classes_in(top)
    path = tmp_path / "given"
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", path))
    proposal = propose(str(path))
    assert proposal.source["sets"]["images"]["path"] == f"{path}/{'/'.join(['photos', 'all'][:depth])}"
    splits, account = run(proposal, tmp_path)
    assert {i.split("/")[0] for ids in splits.values() for i in ids} == {"cat", "dog"}
    assert account.files[0].found == 40


def test_a_readme_beside_the_sole_folder_hides_nothing(tmp_path: Path) -> None:
    classes_in(tmp_path / "given" / "data")
    (tmp_path / "given" / "README.md").write_text("cats and dogs")
    assert propose(str(tmp_path / "given")).source["sets"]["images"]["path"].endswith("given/data")


@pytest.mark.parametrize("name", ["./", "\\"])
def test_archives_as_other_tools_write_them(tmp_path: Path, name: str) -> None:
    """`tar -C photos -cf photos.tar .`, and a zip with the backslashes of Windows."""
    classes_in(tmp_path / "all")
    path = tmp_path / ("photos.tar" if "/" in name else "photos.zip")
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "all", arcname=".")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for file in (tmp_path / "all").rglob("*.jpg"):
                archive.writestr(f"{file.parent.name}\\{file.name}", file.read_bytes())
    splits, account = run(propose(str(path)), tmp_path)
    assert {i for ids in splits.values() for i in ids} == {f"{('cat', 'dog')[i % 2]}/{i}" for i in range(40)}
    assert account.files[0].unaccounted.number == 0


def test_splits_below_classes_folders_are_read(tmp_path: Path) -> None:
    for i in range(40):
        split = ("train", "train", "val", "test")[i // 2 % 4]
        picture(tmp_path / "given" / ("cat", "dog")[i % 2] / split / f"{split}{i}.jpg", i)
    proposal = propose(str(tmp_path / "given"))
    assert proposal.source["split"] == {"type": "given"}
    splits, _ = run(proposal, tmp_path)
    assert all(f"/{split}/" in found for split, ids in splits.items() for found in ids)


@pytest.mark.parametrize("above", ["", "images"])
def test_lists_of_names_say_the_splits_of_classes_folders(tmp_path: Path, above: str) -> None:
    given = tmp_path / "given"
    names = [f"{('cat', 'dog')[i % 2]}/{i}" for i in range(40)]
    for i, name in enumerate(names):
        picture(given / above / f"{name}.jpg", i)
    for split, some in (("train", names[:24]), ("val", names[24:32]), ("test", names[32:])):
        written(given / "meta" / f"{split}.txt", "\n".join(some))
    written(given / "meta" / "classes.txt", "cat\ndog\n")
    proposal = propose(str(given))
    assert proposal.source["split"] == {"type": "given"}
    splits, account = run(proposal, tmp_path)
    assert {i.removeprefix("images/") for i in splits["test"]} == {*names[32:]}
    assert {i.removeprefix("images/") for i in splits["val"]} == {*names[24:32]}
    assert account.files[0].used == 43


def test_what_lies_beside_the_images_may_say_what_they_show(tmp_path: Path) -> None:
    for i in range(40):
        picture(tmp_path / "images" / f"{i % 2:03d}" / f"{i}.jpg", i)
    written(tmp_path / "bounding_boxes.txt", "1 2.0 3.0 4.0 5.0\n")
    with pytest.raises(DataError, match=r"images lie in images.*nothing reads bounding_boxes.txt"):
        propose(str(tmp_path))


def test_folders_within_classes_are_said_to_be_none(tmp_path: Path) -> None:
    for i in range(40):
        picture(tmp_path / ("animal/cat", "animal/dog", "thing/car")[i % 3] / f"{i}.jpg", i)
    assert "folders within classes' folders are no classes of their own: car, cat, dog" in propose(str(tmp_path)).facts


@pytest.mark.parametrize("line", ["0,0.5,0.5,0.2,0.2", "0 0,5 0,5 0,2 0,2", "1"])
def test_text_files_with_declared_classes_are_refused_by_line(tmp_path: Path, line: str) -> None:
    for i in range(12):
        picture(tmp_path / "images" / f"{i}.jpg", i)
        written(tmp_path / "labels" / f"{i}.txt", line)
    written(tmp_path / "data.yaml", "names: [cat, dog]\n")
    with pytest.raises(DataError, match=r"labels/0.txt, line 1: a line is"):
        propose(str(tmp_path))


def test_files_that_nothing_reads_are_named_in_the_refusal(tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / "images" / f"{i}.jpg", i)
    written(tmp_path / "answers.json", '{"0.jpg": "cat"}')
    with pytest.raises(DataError, match=r"nothing reads answers.json"):
        propose(str(tmp_path))


@pytest.mark.parametrize("number", [8, 20, 60])
def test_small_sets_get_a_split_that_fills_all_parts(tmp_path: Path, number: int) -> None:
    classes_in(tmp_path / "given", number)
    splits, _ = run(propose(str(tmp_path / "given")), tmp_path)
    assert all(splits.values())
    assert {i.split("/")[0] for i in splits["train"]} == {"cat", "dog"}


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    classes_in(tmp_path, 2)
    with pytest.raises(DataError, match="too few images"):
        propose(str(tmp_path))


def test_copies_are_named_where_they_leave_too_few(tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / ("cat", "dog")[i % 2] / f"{i}.png", i % 2)
    with pytest.raises(DataError, match="18 × the same bytes"):
        propose(str(tmp_path))


@pytest.mark.parametrize(
    ("folders", "split", "judged"),
    [
        ({"train": 20, "val": 10, "test": 10}, {"train": 20, "val": 10, "test": 10}, "test"),
        ({"training": 20, "valid": 10, "testing": 10}, {"train": 20, "val": 10, "test": 10}, "test"),
        ({"train": 20, "val": 10}, {"train": 20, "val": 10, "test": 0}, "val"),
        ({"train": 40, "test": 10}, {"test": 10}, "test"),
        ({"train": 40}, {}, "test"),
    ],
)
def test_the_splits_that_folders_say_are_kept(
    tmp_path: Path, folders: dict[str, int], split: dict[str, int], judged: str
) -> None:
    seed = 0
    for name, number in folders.items():
        for i in range(number):
            seed += 1
            picture(tmp_path / "given" / name / ("ant", "bee")[i % 2] / f"{name}{i}.jpg", seed)
    proposal = propose(str(tmp_path / "given"))
    assert proposal.tasks == {"label": {"type": "classification"}}
    splits, _ = run(proposal, tmp_path)
    for name, number in split.items():
        assert len(splits[name]) == number
    assert not any("test" in found.split("/")[0] for found in splits["train"] + splits["val"])
    assert sum(map(len, splits.values())) == sum(folders.values())
    assert proposal.source["split"].get("judged_on", "test") == judged
    assert splits["val"]


def test_flat_test_images_have_no_label(tmp_path: Path) -> None:
    for i in range(40):
        picture(tmp_path / "given" / ("train" if i < 30 else "val") / ("ant", "bee")[i % 2] / f"{i}.jpg", i)
    for i in range(10):
        picture(tmp_path / "given" / "test" / f"{i}.jpg", 100 + i)
    proposal = propose(str(tmp_path / "given"))
    assert any("2 classes: ant, bee" in fact for fact in proposal.facts)
    assert "images in no class's folder, which have no label: 10" in proposal.facts
    splits, _ = run(proposal, tmp_path)
    assert {split: len(ids) for split, ids in splits.items()} == {"train": 30, "val": 10, "test": 10}


STRANGE: dict[str, Callable[[Path], Any]] = {
    "images alone": lambda d: [picture(d / "images" / f"{i}.jpg", i) for i in range(6)],
    "images in two folders of structure": lambda d: [
        picture(d / ("images", "labels")[i % 2] / f"{i}.jpg", i) for i in range(6)
    ],
    "one class": lambda d: [picture(d / "cats" / f"{i}.jpg", i) for i in range(6)],
    "flat": lambda d: [picture(d / f"{i}.jpg", i) for i in range(6)],
    "a class beside structure": lambda d: [picture(d / ("JPEGImages", "cat")[i % 2] / f"{i}.jpg", i) for i in range(6)],
    "splits without classes": lambda d: [picture(d / ("train", "test")[i % 2] / f"{i}.jpg", i) for i in range(6)],
    "no image": lambda d: written(d / "notes.txt", "nothing"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_nobody_labelled_is_refused(tmp_path: Path, name: str) -> None:
    STRANGE[name](tmp_path)
    with pytest.raises(DataError) as raised:
        propose(str(tmp_path))
    assert "docs/how-to/bring-your-data.md" in str(raised.value)


def test_names_of_folders_that_may_be_classes_are() -> None:
    assert structural_names(["mask", "no_mask"]) == []
    assert structural_names(["left", "right", "straight"]) == []
    assert structural_names(["NORMAL", "PNEUMONIA"]) == []
    assert structural_names(["images", "mask"]) == ["images", "mask"]
    assert structural_names(["image", "mask"]) == ["image", "mask"]
    assert structural_names(["train2017", "val2017"]) == ["train2017", "val2017"]


def coco(images: list[dict[str, Any]], first: int, category: Any = 1) -> dict[str, Any]:
    annotations = [
        {"id": first + i, "image_id": image["id"], "category_id": category, "bbox": [5, 6, 20, 10]}
        for i, image in enumerate(images)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}


def test_what_looks_like_a_format_is_refused_with_its_fault(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": picture(tmp_path / "images" / f"{i}.jpg", i).name, "width": 64, "height": 48}
        for i in range(12)
    ]
    written(tmp_path / "instances.json", coco(images, 0, category="no such"))
    with pytest.raises(DataError, match=r"looks like coco \(instances.json\)") as raised:
        propose(str(tmp_path))
    assert "no image has a box" in str(raised.value)
    assert "list of categories" in str(raised.value)


def test_two_formats_of_the_same_objects_are_one_proposal(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": picture(tmp_path / "images" / f"{i}.jpg", i).name, "width": 64, "height": 48}
        for i in range(24)
    ]
    document = coco(images, 0)
    for annotation in document["annotations"]:
        annotation["segmentation"] = [[5, 6, 25, 6, 25, 16, 5, 16]]
    written(tmp_path / "instances.json", document)
    for i in range(24):
        mask(tmp_path / "masks" / f"{i}.png", i)
    proposal = propose(str(tmp_path))
    assert set(proposal.tasks) == {"objects", "regions"}
    assert len(proposal.source["sets"]) == 1
    assert any("also there, not proposed: mask_pairs" in fact for fact in proposal.facts)


def test_two_formats_of_different_targets_are_joined(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": picture(tmp_path / "given" / "images" / f"{i}.jpg", i).name, "width": 64, "height": 48}
        for i in range(24)
    ]
    written(tmp_path / "given" / "instances.json", coco(images, 0))
    for i in range(24):
        mask(tmp_path / "given" / "masks" / f"{i}.png", i)
    proposal = propose(str(tmp_path / "given"))
    assert set(proposal.tasks) == {"objects", "regions"}
    assert len(proposal.source["sets"]) == 2
    splits, account = run(proposal, tmp_path)
    assert sum(map(len, splits.values())) == 24
    assert account.files[0].unaccounted.number == 0


def test_files_that_nothing_uses_are_named(tmp_path: Path) -> None:
    classes_in(tmp_path)
    written(tmp_path / "labels.xlsx", "?")
    written(tmp_path / "README.md", "read me")
    facts = propose(str(tmp_path)).facts
    assert "1 files would be used by no set: labels.xlsx" in facts


def test_few_images_begin_with_weights_that_have_seen_others(tmp_path: Path) -> None:
    classes_in(tmp_path / "given")
    example = read_params(ROOT / "params.yaml")
    first, later = propose(str(tmp_path / "given")), propose(str(tmp_path / "given"), first=False)
    params = parse(first.within(example))
    assert (params.model.pretrained.type, params.train.epochs) == ("package", 40)
    assert params.registry.intended_use == "", "what the example is for is said of other images"
    assert params.train.batch_size == example["train"]["batch_size"], "nothing else changes"
    assert any("ImageNet, 40 epochs" in fact for fact in first.facts)
    assert later.changes == {}
    assert first.sections == later.sections


@pytest.mark.parametrize(("kinds", "pixels"), [(["label", "value"], 128), (["label", "boxes"], 256), (["mask"], 256)])
def test_large_images_are_proposed_smaller(kinds: list[str], pixels: int) -> None:
    assert (side(900, kinds), side(70, kinds)) == (pixels, 64)


def test_of_many_images_an_epoch_is_enough() -> None:
    assert [recipe(images)["train"]["epochs"] for images in (10, 400, 4_000, 1_000_000)] == [40, 30, 3, 1]

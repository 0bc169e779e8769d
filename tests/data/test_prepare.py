"""Preparing costs what changed, and gives what a rebuild gives."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from mtl.config.operations import Decode, Denoise, Orient, Resize
from mtl.config.params import Config
from mtl.data.inspect.checks import check
from mtl.data.prepare import cores as parallel
from mtl.data.prepare import plan as plans
from mtl.data.prepare.build import Builder, channel_moments, prepare_sample
from mtl.data.prepare.plan import plan
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample, read_spec, read_split
from mtl.data.shards import manifest as manifests
from mtl.data.shards.shards import Shard
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec
from mtl.errors import DataError, StageError
from mtl.storage.digest import file_sha256
from mtl.storage.shared import marked
from tests.conftest import ROOT, clean_environment
from tests.data.test_formats import TASKS, configured, fetched, image_folder
from tools.closure import closure


@pytest.fixture(scope="module")
def photos(raw: Path, spec: DatasetSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """All training scenes in a folder per class."""
    folder = tmp_path_factory.mktemp("photos")
    scenes: list[RawSample] = [s for s in read_split(raw, "train", spec) if "species" in s.targets]
    return folder, {"path": str(folder)} | image_folder(folder, scenes, spec)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a prepared folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def own(settings: dict[str, Any], folder: Path) -> Config:
    """The set, copied so that a test may change it."""
    if not folder.exists():
        shutil.copytree(settings["path"], folder)
    return configured({"own": settings | {"path": str(folder)}}, {"species": TASKS["species"]})


def test_what_comes_and_goes_touches_its_shards_alone(photos: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "prepared"
    config = own(photos[1], given)
    fetched(config, tmp_path / "raw")
    prepare(config.data, tmp_path / "raw", out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    # One image goes, one changes its class (and so its name), one comes.
    images = sorted(given.rglob("*.png"))
    images[0].unlink()
    images[5].rename(given / "zebra" / "moved.png")
    (given / "zebra" / "new.png").write_bytes(images[7].read_bytes() + b"\0")
    fetched(config, tmp_path / "raw")
    prepare(config.data, tmp_path / "raw", out)
    kept = [path.name for path in out.iterdir() if before.get(path.name) == path.stat().st_mtime_ns]
    assert len(kept) >= len(before) - 6  # three places, and the manifest
    prepare(config.data, tmp_path / "raw", tmp_path / "rebuilt")
    assert contents(out) == contents(tmp_path / "rebuilt")


def test_only_new_images_are_decoded(
    photos: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mtl.data.prepare.build

    given, out = tmp_path / "given", tmp_path / "prepared"
    config = own(photos[1], given)
    fetched(config, tmp_path / "raw")
    prepare(config.data, tmp_path / "raw", out)
    first = sorted(given.rglob("*.png"))[0]
    first.with_name("zz-new.png").write_bytes(first.read_bytes() + b"\0")
    fetched(config, tmp_path / "raw")
    decoded: list[str] = []
    real = mtl.data.prepare.build.prepare_sample

    def counted(sample: RawSample, *rest: Any) -> Any:
        decoded.append(sample.id)
        return real(sample, *rest)

    def here(builder: Builder, orders: Any) -> Any:  # other processes would not count
        return map(builder.build, orders)

    monkeypatch.setattr(mtl.data.prepare.build, "prepare_sample", counted)
    prepare(config.data, tmp_path / "raw", out, runner=here)
    assert decoded == [f"{first.parent.name}/zz-new"]
    # Another operation: everything again.
    decoded.clear()
    denoise = Denoise(type="denoise", method="median")
    operations = (*config.data.operations[:-1], denoise, config.data.operations[-1])
    changed = config.data.model_copy(update={"operations": operations})
    manifest = prepare(changed, tmp_path / "raw", out, runner=here)
    assert len(decoded) == sum(manifest.num_samples(split) for split in SPLITS)


def test_a_shard_changes_where_its_samples_do() -> None:
    ids = [f"{number:06d}" for number in range(5000)]
    shards = list(plan("train", ((found, found) for found in ids), 32, "r"))
    assert sum(p.stop - p.start for p in shards) == 5000
    assert 100 < len(shards) < 260
    assert max(p.stop - p.start for p in shards) <= 128
    more = list(plan("train", ((found, found) for found in sorted([*ids, "002500-new"])), 32, "r"))
    assert len({p.key for p in more} - {p.key for p in shards}) <= 2


CHILD = """
import sys, time
from pathlib import Path
import mtl.data.prepare.build
from mtl.data.prepare.prepare import prepare
from tests.data.test_prepare import own
real = mtl.data.prepare.build.Builder.build
def slow(self, order):
    time.sleep(0.15)
    return real(self, order)
mtl.data.prepare.build.Builder.build = slow
settings = {"format": "image_folder", "target": "species", "path": sys.argv[1]}
prepare(own(settings, Path(sys.argv[1])).data, Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_killed_prepare_goes_on(photos: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "prepared"
    shutil.copytree(photos[0], given)
    config = own({"format": "image_folder", "target": "species"}, given)
    fetched(config, tmp_path / "raw")
    words = [sys.executable, "-c", CHILD, str(given), str(tmp_path / "raw"), str(out)]
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(words, env=environment, cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.safetensors"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert len(finished) >= 3
    assert not (out / "manifest.json").exists()
    prepare(config.data, tmp_path / "raw", out)
    written = [line for line in finished if (out / line).stat().st_mtime_ns != finished[line]]
    assert len(written) <= 1  # the one that was not yet written down
    prepare(config.data, tmp_path / "raw", tmp_path / "rebuilt")
    assert contents(out) == contents(tmp_path / "rebuilt")


def test_other_processes_give_the_same_bytes(
    photos: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = own(photos[1], tmp_path / "given")
    fetched(config, tmp_path / "raw")
    prepare(config.data, tmp_path / "raw", tmp_path / "here")
    monkeypatch.setattr(parallel, "PATIENCE", 0.0)
    prepare(config.data, tmp_path / "raw", tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_a_ray_cluster_gives_the_same_bytes(
    photos: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl.data.prepare import ray

    config = own(photos[1], tmp_path / "given")
    fetched(config, tmp_path / "raw")
    manifest = prepare(config.data, tmp_path / "raw", tmp_path / "here")
    came: list[int] = []
    with monkeypatch.context() as patched, ray.nodes(config) as every:

        def watched(work: Any, orders: Any) -> Iterator[Any]:
            for record, data in every(work, orders):
                came.append(len(data))
                yield record, data

        patched.setattr(ray, "nodes", lambda _: contextlib.nullcontext(watched))
        for name in ("seen", "unseen"):
            patched.setattr(ray, "marked", marked if name == "seen" else lambda _: contextlib.nullcontext(None))
            prepare(config.data, tmp_path / "raw", tmp_path / name, runner=ray.on_cluster(config))
            assert any(came) == (name == "unseen"), "shards come through Ray where nothing else has both ends"
            assert contents(tmp_path / "here") == contents(tmp_path / name)
        given = read_spec(tmp_path / "raw")
        reports = [
            check(tmp_path / "raw", tmp_path / "here", manifest, given, each=one) for one in (every, parallel.each)
        ]
    assert reports[0] == reports[1]
    assert len(manifest.shards) > 1


def test_bad_images_are_left_out_up_to_the_declared_share(photos: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "prepared"
    config = own(photos[1], given)
    images = sorted(given.rglob("*.png"))
    images[0].write_bytes(images[0].read_bytes()[:300])
    images[1].write_bytes(b"")
    images[2].write_bytes(b"<html>not an image</html>")
    fetched(config, tmp_path / "raw")
    with pytest.raises(DataError, match="3 of") as caught:
        prepare(config.data, tmp_path / "raw", out)
    assert images[0].stem in str(caught.value)
    lenient = config.data.model_copy(update={"max_bad_fraction": 0.1})
    manifest = prepare(lenient, tmp_path / "raw", out)
    assert {q.id.split("/")[1] for q in manifest.quarantined} == {path.stem for path in images[:3]}
    # Mended, it is in again.
    shutil.copy(photos[0] / images[0].relative_to(given), images[0])
    fetched(config, tmp_path / "raw")
    manifest = prepare(lenient, tmp_path / "raw", out)
    assert len(manifest.quarantined) == 2


def test_a_shard_is_a_safetensors_file(prepared: Path) -> None:
    for record in manifests.read(prepared).shards:
        path = prepared / record.file
        assert file_sha256(path) == record.sha256
        theirs, ours = load_file(path), Shard(path).arrays
        assert theirs.keys() == ours.keys()
        assert all((theirs[name].view(np.uint8) == ours[name].view(np.uint8)).all() for name in ours if ours[name].size)


def test_moments_are_exact() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 4), np.uint8)
    found = channel_moments(images)
    whole = images.reshape(-1, 4).astype(np.int64)
    assert found.count == len(whole)
    assert found.sum == tuple(whole.sum(0))
    assert found.squares == tuple((whole**2).sum(0))
    tall = np.full((1, 40_000, 1, 1), 255, np.uint8)
    assert channel_moments(tall).squares == (40_000 * 255**2,)


def test_a_file_that_is_gone_stops_prepare_and_costs_no_image(
    photos: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    given, out = tmp_path / "given", tmp_path / "prepared"
    config = own(photos[1], given)
    lenient = config.data.model_copy(update={"max_bad_fraction": 0.5})
    fetched(config, tmp_path / "raw")
    first = sorted(given.rglob("*.png"))[0]
    data = first.read_bytes()
    first.unlink()
    with pytest.raises(StageError, match=first.name):
        prepare(lenient, tmp_path / "raw", out)
    first.write_bytes(data)
    assert not prepare(lenient, tmp_path / "raw", out).quarantined


def test_near_duplicates_are_found(photos: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    from PIL import Image

    given = tmp_path / "given"
    config = own(photos[1], given)
    first = sorted(given.rglob("*.png"))[3]
    Image.open(first).convert("RGB").save(first.with_name("again.jpg"), quality=85)
    fetched(config, tmp_path / "raw")
    manifest = prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    report = check(tmp_path / "raw", tmp_path / "prepared", manifest, read_spec(tmp_path / "raw"))
    pairs = {frozenset((a.split("/")[1], b.split("/")[1])) for a, b in report.near_duplicates}
    assert frozenset((first.stem, "again")) in pairs
    assert len(pairs) <= 3


def test_rotated_images_with_boxes_need_the_exif_operation(config: Config) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG", exif=exif)
    spec = DatasetSpec(name="x", targets={"o": TargetSpec(kind="boxes", classes=("a",)), "v": TargetSpec(kind="value")})
    sample = RawSample("a", buffer.getvalue(), {"o": [[10.0, 50.0, 20.0, 60.0, 0.0]]}, {})
    turning = config.data.model_copy(
        update={
            "operations": (Decode(type="decode"), Orient(type="orient"), Resize(type="resize", height=32, width=24))
        }
    )
    assert prepare_sample(sample, spec, turning)["o"].tolist() == [[5.0, 25.0, 10.0, 30.0, 0.0]]
    still = turning.model_copy(update={"operations": turning.operations[::2]})
    with pytest.raises(DataError, match=r"EXIF orientation 6[\s\S]*type: orient"):
        prepare_sample(sample, spec, still)
    for harmless in ({"v": 1.0}, {"o": []}):
        assert prepare_sample(replace(sample, targets=harmless), spec, still)["image"].shape == (32, 24, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e39])
def test_a_value_that_is_no_number_is_refused(config: Config, value: float) -> None:
    """It would be learnt as 0, or as what has no end."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    spec = DatasetSpec(name="x", targets={"v": TargetSpec(kind="value")})
    with pytest.raises(DataError, match="v is no number"):
        prepare_sample(RawSample("a", buffer.getvalue(), {"v": value}, {}), spec, config.data)


def test_masks_are_read_by_the_values_of_their_target(config: Config) -> None:
    white = np.zeros((64, 64), np.uint8)
    white[16:] = 255
    spec = DatasetSpec(name="x", targets={"m": TargetSpec(kind="mask", classes=("a", "b"), values=(0, 255))})
    buffers = [io.BytesIO(), io.BytesIO()]
    for image, buffer in zip((np.dstack([white] * 3), white), buffers, strict=True):
        Image.fromarray(image).save(buffer, "PNG")
    sample = RawSample("a", buffers[0].getvalue(), {"m": buffers[1].getvalue()}, {})
    operations = (Decode(type="decode"), Resize(type="resize", height=32, width=32))
    ready = prepare_sample(sample, spec, config.data.model_copy(update={"operations": operations}))
    assert np.bincount(ready["m"].ravel()).tolist() == [32 * 32 // 4, 32 * 32 * 3 // 4]


def test_another_way_to_decode_makes_shards_anew() -> None:
    """The recipe hashes the code of all that operations and maps are made with; the spec is in it by value."""
    spec = DatasetSpec(name="x", targets={name: TargetSpec(kind=name) for name in ("boxes", "mask")})
    made = {path.relative_to(ROOT).as_posix() for path in plans.code_of(spec)}
    needed = closure("mtl.data.prepare.operations") | closure("mtl.codecs.maps")
    apart = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mtl/data/kinds").glob("*.py")}
    rooms = {path for path in needed - apart if path.startswith(("mtl/data/", "mtl/codecs/"))}
    assert {path for path in rooms - made if not path.endswith("/__init__.py")} == set()
    assert {"mtl/data/prepare/build.py", "mtl/data/kinds/boxes.py", "mtl/data/kinds/pixelwise.py"} <= made
    assert "mtl/data/kinds/labels.py" not in made
    facts: Any = {"points": ["nose"]}
    points = DatasetSpec(name="x", targets={"p": TargetSpec(kind="keypoints", facts=facts)})
    made = {path.relative_to(ROOT).as_posix() for path in plans.code_of(points)}
    assert {f"mtl/data/kinds/{name}.py" for name in ("keypoints", "skeleton", "boxes")} <= made, (
        "and what it is made of"
    )

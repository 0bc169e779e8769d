"""The zoo, the operations, the shards and the sampler."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mtl.config.data import ZooSource
from mtl.config.operations import Binarize, Decode, Denoise, Edges, Equalize, Gradients, Operation, Orient, Resize
from mtl.config.params import Config
from mtl.data.loading import sampler
from mtl.data.loading.loader import Split, collate
from mtl.data.prepare.operations import decode, num_channels, run
from mtl.data.prepare.picture import Picture
from mtl.data.prepare.prepare import prepare
from mtl.data.sources.parts import load_parts
from mtl.data.sources.unpickle import load_array
from mtl.data.sources.zoo import fetch_zoo
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError


def test_no_part_crosses_a_split(downloads: Path) -> None:
    parts, sources, notes = load_parts(0, downloads)
    assert notes["silhouettes_exact_duplicates_removed"] == 284
    for kind in ("digits", "silhouettes"):
        seen = [{image.tobytes() for image in getattr(parts[split], kind).images} for split in SPLITS]
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
        # Near-duplicates too: a few binarised pixels apart is the same drawing.
        bits = [(getattr(parts[s], kind).images.reshape(-1, 784) >= 128).astype(np.float32) for s in SPLITS]
        apart = bits[0].sum(1)[:, None] + bits[2].sum(1)[None] - 2 * bits[0] @ bits[2].T
        assert apart.min() > 12
    for name in parts["train"].photographs:
        widths = sum(parts[split].photographs[name].shape[1] for split in SPLITS)
        assert widths <= parts["train"].photographs[name].shape[1] / 0.59
    assert all(record.licence and len(record.sha256) == 64 for record in sources)
    assert len(sources) == 19


def test_a_scene_depends_on_seed_split_and_index_alone(raw: Path, downloads: Path, tmp_path: Path) -> None:
    more = ZooSource(type="zoo", num_train=100, num_val=24, num_test=48, image_size=64)
    fetch_zoo(more, 0, tmp_path, downloads)
    first, second = (pq.read_table(folder / "train.parquet")["image"].to_pylist() for folder in (raw, tmp_path))
    assert first == second[:96]
    assert (raw / "test.parquet").read_bytes() == (tmp_path / "test.parquet").read_bytes()


def test_the_unpickler_admits_arrays_alone() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (load_array(pickle.dumps(array), what="x") == array).all()
    with pytest.raises(DataError, match="not admitted"):
        load_array(pickle.dumps(Path("/")), what="x")
    with pytest.raises(DataError, match="plain pickled array"):
        load_array(pickle.dumps(np.array([print], dtype=object)), what="x")


def test_prepare_is_deterministic_and_complete(config: Config, raw: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(config.data, raw, tmp_path)
    for path in sorted(prepared.iterdir()):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    split = Split(prepared, "train")
    assert len(split) == 96
    rows = pq.read_table(raw / "train.parquet").to_pylist()
    batch = collate(split, np.array([70, 3]))
    for place, index in enumerate((70, 3)):
        assert batch.ids[place] == rows[index]["id"]
        assert int(batch.targets["digit"][place]) == rows[index]["digit"]
        assert batch.targets["objects"][place].tolist() == rows[index]["objects"]
        mask = decode(rows[index]["regions"], "grey")[..., 0]
        assert (batch.targets["regions"][place].numpy() == mask).all()


def test_statistics_come_from_the_training_split_alone(prepared: Path) -> None:
    split = Split(prepared, "train")
    images = collate(split, np.arange(len(split))).images
    assert images.mean((0, 2, 3)).abs().max() < 1e-4
    assert (images.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_a_corrupted_image_is_named_and_stops_prepare(config: Config, raw: Path, tmp_path: Path) -> None:
    broken = tmp_path / "raw"
    shutil.copytree(raw, broken)
    table = pq.read_table(broken / "train.parquet")
    images = table["image"].to_pylist()
    images[7] = images[7][:200] + bytes(50) + images[7][250:]
    column = table.schema.get_field_index("image")
    pq.write_table(table.set_column(column, table.schema.field("image"), [images]), broken / "train.parquet")
    with pytest.raises(DataError, match="train-000007") as caught:
        prepare(config.data, broken, tmp_path / "out")
    assert "max_bad_fraction" in str(caught.value)
    lenient = config.data.model_copy(update={"max_bad_fraction": 0.05})
    manifest = prepare(lenient, broken, tmp_path / "out2")
    assert [q.id for q in manifest.quarantined] == ["train-000007"]
    assert manifest.num_samples("train") == 95


def test_missing_and_damaged_files_are_explained(config: Config, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"spec\.json is missing"):
        prepare(config.data, tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match=r"manifest\.json is missing"):
        Split(tmp_path, "train")
    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    shard = next(copy.glob("train-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(DataError, match="damaged"):
        Split(copy, "train")


PHOTO = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


def _encode(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _run(*operations: Operation, **more: object) -> Picture:
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=_encode(PHOTO), **more)  # type: ignore[arg-type]
    return run([Decode(type="decode"), *operations], picture)


def test_decode_is_lossless_and_refuses_what_is_no_image() -> None:
    assert (_run().image == PHOTO).all()
    for data in (b"", b"not an image", _encode(PHOTO)[:100]):
        with pytest.raises(DataError):
            decode(data)


def test_resize_moves_boxes_and_masks() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 30:45] = 1
    points = {"o": np.array([[30.0, 10.0], [45.0, 20.0]], np.float32)}
    found = _run(Resize(type="resize", height=80, width=120), points=dict(points), masks={"m": mask})
    ys, xs = np.nonzero(found.masks["m"])
    assert found.points["o"].tolist() == [[60.0, 20.0], [90.0, 40.0]]
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == [60, 20, 90, 40]
    padded = _run(
        Resize(type="resize", height=60, width=60, keep_aspect=True), points=dict(points), masks={"m": mask.copy()}
    )
    assert padded.points["o"].tolist() == [[30.0, 20.0], [45.0, 30.0]]
    assert (padded.masks["m"][0] == 255).all()


def test_orient_follows_exif() -> None:
    for orientation in range(1, 9):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(PHOTO).save(buffer, "PNG", exif=exif)
        from PIL import ImageOps

        wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue()))))
        picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=buffer.getvalue())
        found = run([Decode(type="decode"), Orient(type="orient")], picture).image
        assert (found == wanted).all(), orientation


@pytest.mark.parametrize("method", ["median", "bilateral", "nlmeans"])
def test_denoise_brings_a_noisy_image_closer(method: str) -> None:
    clean = np.full((32, 32, 3), 120, np.uint8)
    noisy = (clean + np.random.default_rng(1).normal(0, 12, clean.shape)).clip(0, 255).astype(np.uint8)
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=_encode(noisy))
    denoise = Denoise.model_validate({"type": "denoise", "method": method, "size": 5, "strength": 40.0})
    found = run([Decode(type="decode"), denoise], picture).image
    assert np.abs(found.astype(int) - 120).mean() < 0.6 * np.abs(noisy.astype(int) - 120).mean()


@pytest.mark.parametrize("method", ["median", "bilateral", "nlmeans"])
def test_extra_channels_are_denoised_and_resized_too(method: str) -> None:
    """OpenCV's filters take four channels at most: here come seven."""
    more = (Gradients(type="gradients"), Edges(type="edges"), Binarize(type="binarize", output="channel"))
    denoise = Denoise.model_validate({"type": "denoise", "method": method, "size": 7})
    found = _run(*more, Gradients(type="gradients"), denoise, Resize(type="resize", height=20, width=90))
    assert found.image.shape == (20, 90, 7)
    alone = _run(denoise, Resize(type="resize", height=20, width=90))
    if method != "bilateral":  # which looks at all colours at once
        assert (found.image[..., :3] == alone.image).all()


def test_binarize_edges_and_equalize() -> None:
    assert set(np.unique(_run(Binarize(type="binarize")).image)) == {0, 255}
    assert _run(Edges(type="edges")).image.shape == (40, 60, 4)
    assert set(np.unique(_run(Binarize(type="binarize", method="adaptive", output="channel")).image[..., 3])) == {
        0,
        255,
    }
    assert set(np.unique(_run(Edges(type="edges", output="target")).masks["edges"])) <= {0, 1}
    flat = (PHOTO // 8 + 100).astype(np.uint8)
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=_encode(flat))
    assert run([Decode(type="decode"), Equalize(type="equalize")], picture).image.std() > 1.5 * flat.std()


def test_extra_channels_count_and_gradients_follow_slopes() -> None:
    operations = (
        Decode(type="decode"),
        Gradients(type="gradients"),
        Edges(type="edges"),
        Binarize(type="binarize", output="channel"),
    )
    assert num_channels(operations) == _run(*operations[1:]).image.shape[2] == 6
    ramp = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None], 40, 0)
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=_encode(np.dstack([ramp] * 3)))
    found = run([Decode(type="decode"), Gradients(type="gradients")], picture).image[5:-5, 5:-5, 3]
    step = np.repeat(np.array([0, 255], np.uint8), 30)[None].repeat(40, 0)
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=_encode(np.dstack([step] * 3)))
    steep = run([Decode(type="decode"), Gradients(type="gradients")], picture).image[..., 3]
    assert found.min() == found.max() > 0
    assert steep.max() <= 255
    assert steep.max() > 20 * found.max()


def test_the_order_depends_on_seed_and_epoch_not_on_workers() -> None:
    order = sampler.epoch_order(3, 1, 103)
    assert sorted(order.tolist()) == list(range(103))
    assert (order != sampler.epoch_order(3, 2, 103)).any()
    assert sampler.steps_per_epoch(103, 20) == 5
    batch = sampler.global_batch(order, 2, 20)
    for workers in (1, 2, 4):
        for accumulate in (1, 2):
            parts = [p for rank in range(workers) for p in sampler.micro_batches(20, rank, workers, accumulate)]
            assert len(parts) == workers * accumulate
            assert sorted(np.concatenate(parts).tolist()) == list(range(20))
    assert batch.tolist() == order[40:60].tolist()


def test_spec_is_strict(spec: DatasetSpec) -> None:
    assert set(spec.targets) == {"digit", "species", "contents", "objects", "regions", "count"}
    assert len(spec.targets["objects"].classes) == 20

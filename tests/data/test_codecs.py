"""Coded shards: the pixels that went in, or those of one JPEG; rebuilt to the same bytes; read by the same code."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.codec import Codec, JpegCodec, LosslessCodec, RawCodec, WebpCodec
from mtl.config.data import DataConfig
from mtl.config.operations import Resize
from mtl.config.params import Config
from mtl.data.codecs import CODECS, encoder
from mtl.data.codecs.device import decode_on
from mtl.data.codecs.threads import decode_all
from mtl.data.loading.loader import Split
from mtl.data.prepare.build import Builder
from mtl.data.prepare.prepare import Order, prepare
from mtl.data.shards import manifest as manifests
from mtl.data.shards.manifest import ShardRecord
from mtl.data.shards.shards import Shard
from mtl.data.spec import SPLITS
from mtl.errors import DataError


def small(config: Config, codec: Codec) -> DataConfig:
    operations = tuple(
        Resize(type="resize", height=32, width=32) if o.type == "resize" else o for o in config.data.operations
    )
    return config.data.model_copy(update={"operations": operations, "codec": codec})


def here(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
    """In this process."""
    return map(builder.build, orders)


def rows(folder: Path, split: str = "train") -> dict[str, Any]:
    found = Split(folder, split)
    return found.rows(np.random.default_rng(0).permutation(len(found)))


def same(one: Any, other: Any) -> bool:
    """Bit for bit, with the bits of what is not a number."""
    if isinstance(one, list):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.fixture(scope="module")
def lossless(config: Config, everything: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of target, coded without loss."""
    folder = tmp_path_factory.mktemp("lossless")
    prepare(small(config, LosslessCodec(type="lossless")), everything.parent / "raw", folder)
    return folder


@pytest.fixture(scope="module")
def jpegs(config: Config, everything: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with images as JPEG."""
    folder = tmp_path_factory.mktemp("jpegs")
    prepare(small(config, JpegCodec(type="jpeg")), everything.parent / "raw", folder)
    return folder


def test_lossless_shards_give_the_bits_of_raw_ones(everything: Path, lossless: Path) -> None:
    for split in SPLITS:
        raw, coded = rows(everything, split), rows(lossless, split)
        assert all(same(raw[name], coded[name]) for name in raw)
    raw, coded = manifests.read(everything), manifests.read(lossless)
    assert raw.statistics == coded.statistics
    sizes = [sum((f / r.file).stat().st_size for r in m.shards) for f, m in ((everything, raw), (lossless, coded))]
    assert sizes[1] < 0.4 * sizes[0]


def test_a_raw_shard_says_nothing_of_codes(everything: Path) -> None:
    file = manifests.read(everything).shards[0].file
    shard = Shard(everything / file)
    assert all(isinstance(array, np.ndarray) for array in shard.arrays.values())
    assert b'"coded"' not in (everything / file).read_bytes()


def test_jpeg_shards_hold_one_jpeg_and_exact_targets(everything: Path, jpegs: Path) -> None:
    raw, coded = rows(everything), rows(jpegs)
    assert all(same(raw[name], coded[name]) for name in raw if name != "image")
    assert 0 < np.abs(raw["image"].astype(int) - coded["image"]).mean() < 6


def test_what_is_prepared_already_is_not_coded_twice(
    config: Config, jpegs: Path, everything: Path, tmp_path: Path
) -> None:
    """Shards of another size are made of those that are there: the same codes, and the bytes of a rebuild."""
    codec = small(config, JpegCodec(type="jpeg"))
    other = codec.model_copy(update={"shard_size": 16})
    prepare(other, everything.parent / "raw", tmp_path / "fresh")
    shutil.copytree(jpegs, tmp_path / "again")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtl.data.codecs.pictures.Jpeg.encode", lambda *_: pytest.fail("coded twice"))
        again = prepare(other, everything.parent / "raw", tmp_path / "again", runner=here)
    assert len(again.shards) > len(manifests.read(jpegs).shards)
    assert again.shards == manifests.read(tmp_path / "fresh").shards


def test_codes_are_given_to_a_device_that_decodes(jpegs: Path, lossless: Path) -> None:
    split = Split(jpegs, "train")
    at = np.arange(8)
    assert Split(lossless, "train").rows(at, decode=False)["image"].shape == (8, 32, 32, 3)  # no device decodes these
    coded, decoded = split.rows(at, decode=False), split.rows(at)
    found = decode_on(torch.device("cpu"), coded["image"])
    assert found.shape == (8, 3, 32, 32) and found.dtype == torch.uint8
    assert (found.permute(0, 2, 3, 1).numpy().astype(int) - decoded["image"]).max() <= 3
    with pytest.raises(DataError, match="cannot be decoded on the device"):
        decode_on(torch.device("cpu"), [np.zeros(10, np.uint8)])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((9, 7, 3), "uint8"), ((9, 7, 1), "uint8"), ((9, 7, 5), "uint8"), ((9, 7), "float32"), ((9, 7, 3), "float32")],
)
def test_any_values_of_pixels_are_kept_without_loss(shape: tuple[int, ...], dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)
    values = values.reshape(shape)  # any bits, those of no number among them
    codec = CODECS["lossless"]()
    code = np.frombuffer(codec.encode(values), np.uint8)
    assert same(codec.decode(code, shape, np.dtype(dtype)), values)
    with pytest.raises(ValueError, match="gave"):
        codec.decode(code, (9, 8, *shape[2:]), np.dtype(dtype))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("config_of", [JpegCodec(type="jpeg", quality=95), WebpCodec(type="webp", quality=95)])
def test_lossy_codecs_take_any_channels(channels: int, config_of: JpegCodec | WebpCodec) -> None:
    codec = encoder(config_of)
    assert codec is not None and encoder(RawCodec(type="raw")) is None
    smooth = np.linspace(0, 255, 32 * 32 * channels).reshape(32, 32, channels).astype(np.uint8)
    code = np.frombuffer(codec.encode(smooth), np.uint8)
    assert np.abs(codec.decode(code, smooth.shape, smooth.dtype).astype(int) - smooth).mean() < 4


def test_any_number_of_threads_decodes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, rng = CODECS["jpeg"](), np.random.default_rng(0)
    codes = [np.frombuffer(codec.encode(rng.integers(0, 256, (16, 16, 3), np.uint8)), np.uint8) for _ in range(40)]
    found: list[np.ndarray] = []
    for number in (1, 3):
        monkeypatch.setattr("mtl.data.codecs.threads.cores", lambda number=number: number)
        found.append(np.zeros((40, 16, 16, 3), np.uint8))
        decode_all(codec, codes, found[-1])
    assert (found[0] == found[1]).all() and found[0].any()

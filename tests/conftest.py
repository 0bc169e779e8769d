"""Shared fixtures: a tiny zoo, made once, and a checkout to run flows in."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

from flows.settings import Settings
from mtl.config.data import ZooSource
from mtl.config.params import Config, load
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample, read_split
from mtl.data.sources.zoo import fetch_zoo
from mtl.data.spec import DatasetSpec
from mtl.logs import OURS, LineHandler
from mtl.registry.trust import Trust

ROOT = Path(__file__).parents[1]
Thing = TypeVar("Thing")
TINY = [
    "data.source.num_train=96",
    "data.source.num_val=24",
    "data.source.num_test=48",
    "data.shard_size=64",
    "train.epochs=1",
    "train.batch_size=16",
    "train.checkpoint_every=2",
    "evaluate.num_resamples=100",
    "evaluate.num_pictures=4",
]

# A red run is the change's, not the dice's: the same examples in every run; HYPOTHESIS_PROFILE=default throws new ones.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", default="", help="file for the table of marked tests, as JSON; it is printed too")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side are files, and as one more all tests that share the checkout: first, for they take longest, and before them
    those that see it before its first run."""

    def shares_checkout(item: pytest.Item) -> bool:
        return "checkout" in getattr(item, "fixturenames", ())

    items.sort(key=lambda item: (not shares_checkout(item), item.path.stem != "test_end_to_end"))
    for item in items:
        item.add_marker(
            pytest.mark.xdist_group("checkout" if shares_checkout(item) else "/".join(item.path.parts[-2:]))
        )


@pytest.fixture(scope="session")
def config() -> Config:
    """params.yaml at a tiny size."""
    return load(ROOT / "params.yaml", TINY)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels fetched once: the checkout's own downloads if it has them."""
    existing = ROOT / ".mtl" / "downloads"
    return existing if existing.exists() else tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def raw(config: Config, downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny raw zoo."""
    folder = tmp_path_factory.mktemp("raw")
    assert isinstance(config.data.source, ZooSource)
    fetch_zoo(config.data.source, config.seed, folder, downloads)
    return folder


@pytest.fixture(scope="session")
def spec(raw: Path) -> DatasetSpec:
    """What the raw zoo holds."""
    from mtl.data.raw.rows import read_spec

    return read_spec(raw)


@pytest.fixture(scope="session")
def scenes(raw: Path, spec: DatasetSpec) -> list[RawSample]:
    """Forty real scenes with all their targets."""
    return [s for s in read_split(raw, "train", spec) if "species" in s.targets][:40]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Files as a package has them, for what does not look into them."""
    folder = tmp_path / "package"
    (folder / "code").mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(1000))
    (folder / "code" / "model.py").write_text("x = 1\n")
    return folder


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """The keys of an owner."""
    return Trust(own=tmp_path / "keys")


@pytest.fixture(scope="session")
def prepared(config: Config, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared zoo."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(config.data, raw, folder)
    return folder


@pytest.fixture(scope="session")
def bundle(config: Config, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged model with weights that nobody trained."""
    import torch
    from safetensors.torch import save_file

    from mtl.data.shards import manifest
    from mtl.package.bundle import write_bundle
    from mtl.tasks import build_model, build_tasks, image_spec

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("bundle")
    found = manifest.read(prepared)
    model = build_model(config.model, build_tasks(config.tasks, found.spec.targets, image_spec(found)))
    weights = folder / "made.safetensors"
    save_file(model.state_dict(), weights)
    write_bundle(folder / "bundle", config, found, weights)
    return folder / "bundle"


def package_of(bundle: Path, folder: Path) -> Path:
    """As much of an MLflow model's folder as serving reads."""
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "bundle").symlink_to(bundle)
    return folder


@pytest.fixture(scope="session")
def everything(config: Config, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny zoo at half size with a target of every kind: depth and normals are made from the regions' masks, points from
    the boxes."""
    import cv2
    import numpy as np

    from mtl.codecs.maps import encode_depth, encode_normals
    from mtl.config.operations import Resize
    from mtl.data.prepare.operations import decode
    from mtl.data.raw.rows import RawSample, read_spec, read_split, write_spec, write_split
    from mtl.data.spec import SPLITS, TargetSpec

    given = read_spec(raw)
    depth = TargetSpec(kind="depth", unit="m", scale=0.001)
    facts = {"points": ["middle", "left", "right"], "edges": [[0, 1], [0, 2]]}
    poses = TargetSpec(kind="keypoints", classes=("thing",), facts=facts)
    spec = given.model_copy(
        update={"targets": {**given.targets, "depth": depth, "normals": TargetSpec(kind="normals"), "poses": poses}}
    )
    folder = tmp_path_factory.mktemp("everything")
    for split in SPLITS:
        samples: list[RawSample] = []
        for sample in read_split(raw, split, given):
            mask = decode(sample.targets["regions"], "grey")[..., 0]
            near = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 3) / 10.0 + 0.5
            near[:2] = np.nan
            normals = np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [0.0, -0.6, 0.8]])[mask]
            rows: list[list[float]] = []
            for x1, y1, x2, y2, _ in sample.targets["objects"]:
                middle, points = (y1 + y2) / 2, ((x1 + x2) / 2, x1 + 0.5, x2 - 0.5)
                rows.append(
                    [x1, y1, x2, y2, 0.0, 0.0, (x2 - x1) * (y2 - y1), *(v for x in points for v in (x, middle, 2.0))]
                )
            more = {"depth": encode_depth(near, 0.001), "normals": encode_normals(normals), "poses": rows}
            samples.append(RawSample(sample.id, sample.image, {**sample.targets, **more}, sample.slices))
        write_split(folder / "raw", split, spec, samples)
    write_spec(folder / "raw", spec)
    operations = tuple(
        Resize(type="resize", height=32, width=32) if o.type == "resize" else o for o in config.data.operations
    )
    data = config.data.model_copy(update={"operations": operations})
    prepare(data, folder / "raw", folder / "prepared")
    return folder / "prepared"


def image_of(sample: RawSample) -> bytes:
    """A raw sample's image, of those that have it in their row."""
    assert isinstance(sample.image, bytes)
    return sample.image


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    """A clone of this checkout's files as a git repository of its own, with a tiny params.yaml."""
    return make_checkout(tmp_path_factory.mktemp("checkout"), downloads)


def make_checkout(folder: Path, downloads: Path, *overrides: str) -> Path:
    """Fill a folder with this checkout's files, as a git repository of its own, with a tiny params.yaml."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    _shrink(folder / "params.yaml", overrides)
    if (downloads / "..").exists() and any(downloads.iterdir()):
        shutil.copytree(downloads, folder / ".mtl" / "downloads")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "tiny"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def retrained(checkout: Path) -> Path:
    """The checkout after its first run: version 1 is champion."""
    if not (checkout / ".mtl" / "last_run.json").exists():
        done = mtl(checkout, "retrain")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return checkout


def _shrink(path: Path, overrides: Sequence[str]) -> None:
    # A few steps on a few images learn nothing that could be shown: the gate is not to ask for it.
    free = [f"tasks.{name}.floor=null" for name in ("digit", "species", "objects", "regions", "count")]
    free += ["gate.min_skill=null", "gate.max_untested_classes=1.0"]
    set_params(path, *TINY, *free, *overrides)


def set_params(path: Path, *overrides: str) -> None:
    """Change keys of a params.yaml."""
    from ruamel.yaml import YAML

    from mtl.config import apply_overrides, read_params

    values = read_params(path)
    apply_overrides(values, overrides)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False  # DVC's reader refuses an unquoted URL in a flow mapping
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def mtl(checkout: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the mtl command in a checkout as a user would, with its own code."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout)} | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@contextlib.contextmanager
def heard(lines: list[str] | None = None) -> Generator[list[str]]:
    """What our modules log meanwhile, in this process."""
    found: list[str] = [] if lines is None else lines
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("mtl", "flows")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield found
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A test that sets up logging in this process leaves it as it was."""
    yield
    for name in OURS:
        logger = logging.getLogger(name)
        for handler in [found for found in logger.handlers if isinstance(found, LineHandler)]:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True


def embedded(checkout: Path) -> Settings:
    """A checkout's settings, for calls in this process: `enter_checkout` would set its environment."""
    home = checkout / ".mtl"
    return Settings(checkout, home, f"sqlite:///{home}/mlflow.db", None)


def dvc(folder: Path, *words: str, **environment: str) -> str:
    """Run a dvc command in a folder, as a user with the environment activated; what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=clean_environment() | {"PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def clean_environment() -> dict[str, str]:
    """The environment without what an outer run or session has set for these tools."""
    own = ("MTL_", "PREFECT_", "MLFLOW_", "RAY_", "DVC_", "COLUMNS", "LINES")  # the last two of pytest-xdist
    return {key: value for key, value in os.environ.items() if not key.startswith(own)}


def not_none(value: Thing | None) -> Thing:
    """What must be there, for tests that look into it."""
    assert value is not None
    return value


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

"""`mtl predict`, `mtl shadow`, `mtl package`: registered versions on images or in a folder, verified before all else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flows.checkout.dvc import run_module
from flows.checkout.leftovers import noted
from flows.checks import check, disk, refuse, writable
from flows.registry.load import load_versions, resolve
from flows.run_log import step
from flows.settings import Settings
from flows.terminal import stop_display
from mtl.config.choices import refuse_unknown
from mtl.config.params import load
from mtl.errors import ConfigError, RegistryError
from mtl.reports import read_report
from mtl.reports.prediction import Prediction
from mtl.reports.requests import PredictRequest

FORMATS = ("parquet", "coco", "masks", "overlays")


def predict(settings: Settings, names: Sequence[str], images: list[str], out: str, formats: list[str]) -> Prediction:
    """Predict with one version, or with two and compare them; what came of it.

    Raises:
        ConfigError: a format that there is not.
        RegistryError: no such version, or its package is not what was registered.
        StageError: the prediction failed.
    """
    refuse_unknown("--format", formats or ["(none)"], FORMATS)
    config = load(settings.root / "params.yaml")
    refuse([partial(writable, out, "--out"), partial(check, settings, config, (disk,))])
    _, registry = load_versions(settings)
    versions = [resolve(registry, name) for name in names]
    if len({version.number for version in versions}) < len(versions):
        raise RegistryError(
            f"{' and '.join(names)} are one version",
            found=f"version {versions[0].number}",
            fix="name another with --model: mtl status",
        )
    with noted(settings), tempfile.TemporaryDirectory() as scratch:
        packages = [
            str(registry.package(version, Path(scratch, str(version.number)), settings.packages))
            for version in versions
        ]
        target = out if "://" in out else str(Path(out).resolve())
        result = Path(scratch, "result.json")
        job = PredictRequest(
            packages=tuple(packages),
            labels=tuple(f"version-{version.number}" for version in versions),
            # Not resolved: what a link is called says that it is an image, where it leads (DVC's cache) may not.
            images=tuple(path if "://" in path else os.path.abspath(path) for path in images),  # noqa: PTH100
            out=target,
            formats=tuple(formats),
            result=str(result),
        )
        with step("predict"):
            run_module("mtl.entrypoints.predict", job.model_dump_json(), folder=settings.root)
        stop_display()
        found = read_report(Prediction, result, fix="run it again")
    return found.model_copy(update={"versions": tuple(version.number for version in versions)})


def bring(settings: Settings, name: str, out: Path) -> int:
    """Put a version's package into a folder that is not there yet, verified; the version's number.

    Raises:
        ConfigError: the folder is there.
        RegistryError: no such version, or its package is not what was registered.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already", fix="name a folder that is not: what lies in it was not verified")
    _, registry = load_versions(settings)
    version = resolve(registry, name)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        registry.package(version, Path(scratch), settings.packages).replace(out)
    return version.number


def show_disagreement(prediction: Prediction) -> str:
    """The comparison as a table."""
    first, second = prediction.versions
    differ = prediction.disagreements
    assert differ is not None
    lines = [
        f"version {first} and version {second} on {prediction.counts.images} images",
        f"{'task':<12}{'mean':>10}{'changed':>10}",
    ]
    for task, one in differ.tasks.items():
        unit = f" {one.unit}" if one.unit else ""
        lines.append(f"{task:<12}{one.mean:>10.4f}{one.changed:>10.1%}{unit}")
    if differ.only_one_has:
        lines.append(f"only one has: {', '.join(differ.only_one_has)}")
    lines.append(f"pictures     {differ.picture or 'none: no image differs'}")
    return "\n".join(lines)

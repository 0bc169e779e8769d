"""Write a bundle as an MLflow model folder: `mlflow models serve` and `mlflow.pyfunc.load_model` take it as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtl.package import BUNDLE
from mtl.package.predictor import Predictor
from mtl.package.requirements import REQUIREMENTS, UNDECLARED
from mtl.reports import PackageReport
from mtl.storage.digest import file_sha256
from mtl.tasks.answers import answer_of

LOADER = "mtl.package.pyfunc"
"""The module that MLflow imports to load a package: an installed one. It is in no requirement: the name `mtl` is somebody
else's on PyPI, so whoever installed it from there would run a stranger's code."""


def write_mlflow_model(folder: Path, bundle: Path) -> PackageReport:
    """Write the model folder, with a signature: an image in, a typed result per task out. There is no code in it."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    predictor = Predictor(bundle)
    shutil.rmtree(folder, ignore_errors=True)
    outputs: list[ColSpec | TensorSpec] = [
        column for name, task in predictor.tasks.items() for column in answer_of(task).columns(name)
    ]
    inputs: list[ColSpec | TensorSpec] = [ColSpec("binary", "image")]
    mlflow.pyfunc.save_model(
        path=str(folder),
        loader_module=LOADER,
        signature=ModelSignature(Schema(inputs), Schema(outputs)),
        pip_requirements=_pinned(),
    )
    shutil.copytree(bundle, folder / BUNDLE)
    files = {p.relative_to(folder).as_posix(): file_sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    (weights,) = (digest for name, digest in files.items() if name.endswith("weights.safetensors"))
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return PackageReport(weights_sha256=weights, num_bytes=size, files=files)


def _pinned() -> list[str]:
    """What serving needs, at the versions that made the model."""
    from importlib.metadata import version

    return [f"{name}=={version(name).split('+')[0]}" for name in sorted((*REQUIREMENTS, *UNDECLARED))]

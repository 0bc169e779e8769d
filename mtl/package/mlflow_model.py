"""Write a bundle as an MLflow model folder: `mlflow models serve` and `mlflow.pyfunc.load_model` take it as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mtl.digest import file_sha256
from mtl.package.predictor import Predictor
from mtl.reports import PackageReport
from mtl.tasks import Task

REQUIREMENTS = (
    *("mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic", "pyarrow", "ruamel.yaml"),
    *("safetensors", "timm", "torch", "torchvision"),
)


def write_mlflow_model(folder: Path, bundle: Path) -> PackageReport:
    """Write the model folder, with a signature: an image in, a typed result per task out."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    predictor = Predictor(bundle)
    shutil.rmtree(folder, ignore_errors=True)
    code = Path(__file__).parents[1]
    outputs = [column for name, task in predictor.tasks.items() for column in _columns(name, task)]
    clean = folder.parent / f"{folder.name}-code"
    shutil.rmtree(clean, ignore_errors=True)
    shutil.copytree(code, clean / "mtl", ignore=shutil.ignore_patterns("__pycache__", "stages", "train", "serving"))
    try:
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(clean / "mtl" / "package" / "pyfunc.py"),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(clean / "mtl")],
            signature=ModelSignature(Schema([ColSpec("binary", "image")]), Schema(outputs)),
            pip_requirements=_pinned(),
        )
    finally:
        shutil.rmtree(clean, ignore_errors=True)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    files = {p.relative_to(folder).as_posix(): file_sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    (weights,) = (digest for name, digest in files.items() if name.endswith("weights.safetensors"))
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return PackageReport(weights_sha256=weights, num_bytes=size, files=files)


def _columns(name: str, task: Task) -> list[Any]:
    from mlflow.types.schema import Array, ColSpec, DataType, Object, Property

    if task.serves == "label":
        return [ColSpec("string", name), ColSpec("double", f"{name}_score")]
    if task.serves == "labels":
        return [ColSpec(Array(DataType.string), name), ColSpec(Array(DataType.double), f"{name}_scores")]
    if task.serves == "value":
        return [ColSpec("double", name)]
    if task.serves == "boxes":
        fields = [
            Property("label", DataType.string),
            *(Property(f, DataType.double) for f in ("score", "x1", "y1", "x2", "y2")),
        ]
        return [ColSpec(Array(Object(fields)), name)]
    return [ColSpec("string", name)]


def _pinned() -> list[str]:
    """What serving needs, at the versions that made the model."""
    from importlib.metadata import version

    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]

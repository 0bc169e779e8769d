"""Older params.yaml are moved forward: what can be seen is mended, what cannot be known is asked, the rest stays as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mtl.config import upgrades
from mtl.config.changes import moved, renamed
from mtl.config.params import load, parse
from mtl.config.reading import read_params
from mtl.config.rewriting import Rewritten, rewritten
from mtl.config.upgrades import Upgrade, upgrade
from mtl.errors import ConfigError

OLD = Path(__file__).with_name("params-0.1.yaml")
"""params.yaml of this repository's first commit."""
SOLVER = """objective:
  weighting: {type: fixed}     # each task's weight, as declared above
  aggregator:
    type: mgda                 # the shortest
    epsilon: 0.01              # of the solver
    max_iterations: 50         # of that, too

# augmentation follows
"""
TIMM = """    type: timm                 # or compact
    name: resnet18
    pretrained: {}           # ImageNet
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of 0.1 with all keys that it had and that are gone."""
    text = OLD.read_text()
    head, _, tail = text.partition("objective:\n")
    text = head + SOLVER + tail.partition("\n")[2].lstrip("\n")
    head, _, tail = text.partition("    type: compact")
    path = tmp_path / "params.yaml"
    path.write_text(head + TIMM.format("false") + tail[tail.index("  neck_channels") :])
    return path


def save(found: Rewritten) -> None:
    found.path.write_text(found.after)


def test_a_file_of_0_1_is_valid_afterwards_and_means_the_same(old: Path) -> None:
    found = rewritten(old, "0.1.0")
    save(found)
    config = load(old)
    assert config.model.backbone.model_dump() == {"type": "timm", "name": "resnet18", "norm": "batch"}
    assert config.objective.aggregator.type == "mgda"
    assert (config.gate.min_skill, config.gate.max_untested_classes) == (None, 1.0)
    before, after = read_params(OLD), read_params(old)
    for section in before.keys() - {"model", "objective", "gate"}:
        assert after[section] == before[section]
    assert len(found.notes) == 5


def test_comments_and_all_other_lines_stay(old: Path) -> None:
    found = rewritten(old, "0.1.0")
    gone = [line for line in found.diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert [line.split(":")[0].strip("- ") for line in gone] == ["pretrained", "epsilon", "max_iterations"]
    assert "    type: mgda                 # the shortest\n\n# augmentation follows\n" in found.after


def test_a_second_time_there_is_nothing_to_do(old: Path) -> None:
    save(rewritten(old, "0.1.0"))
    again = rewritten(old, "0.1.0")
    assert (again.notes, again.diff) == ((), "")
    assert rewritten(old).notes == ()


def test_defaults_are_not_guessed_where_nobody_says_the_version(old: Path) -> None:
    found = rewritten(old)
    assert {note.path.split(".")[0] for note in found.notes} == {"model", "objective"}
    assert "min_skill" not in found.after


def test_what_only_the_user_knows_is_refused_and_nothing_written(old: Path) -> None:
    old.write_text(old.read_text().replace("pretrained: false", "pretrained: true"))
    before = old.read_text()
    with pytest.raises(ConfigError, match=r"model\.backbone\.pretrained: weights are named .*repository, revision"):
        rewritten(old)
    assert old.read_text() == before


def test_what_stays_invalid_is_not_written(old: Path) -> None:
    old.write_text(old.read_text().replace("  epochs: 4", "  epoch: 4"))
    with pytest.raises(ConfigError, match=r"moved forward has 2 problems"):
        rewritten(old)


def test_an_unknown_key_that_was_known_names_the_command(old: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)max_iterations: unknown key.*max_iterations: removed.*mtl upgrade-params"
    ):
        load(old)
    values = read_params(Path("params.yaml"))
    values["train"]["epoch"] = 3
    with pytest.raises(ConfigError) as other:
        parse(values)
    assert "upgrade-params" not in str(other.value)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"data": {"source": {"sets": [{"format": "voc"}]}}}, {"format": "voc", "difficult": True}),
        ({"data": {"source": {"sets": [{"format": "coco"}]}}}, {"format": "coco"}),
        ({"data": {"source": {"sets": [{"format": "huggingface"}]}}}, {"format": "huggingface", "image": "image"}),
    ],
)
def test_a_default_is_kept_where_it_is_meant(values: dict[str, Any], where: dict[str, Any]) -> None:
    upgrade(values, "0.1.0")
    assert values["data"]["source"]["sets"] == [where]
    same = {"data": {"source": {"sets": [{"format": "voc"}]}}}
    assert upgrade(same, "0.2.0") == []


def test_every_row_names_a_key_that_is_gone_or_has_a_default() -> None:
    """A row of a key that must stand there would never be used."""
    for row in upgrades.UPGRADES:
        node: dict[str, Any] = dict(row.where or {})
        assert row.unseen == bool(row.change(node, row.key)), row


def test_a_renamed_key_keeps_its_place_and_its_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Upgrade("0.3.0", "train", "epoch", renamed("epochs"), "a test")
    monkeypatch.setattr(upgrades, "UPGRADES", (row,))
    text, path = Path("params.yaml").read_text(), tmp_path / "params.yaml"
    path.write_text(text.replace("  epochs: 4\n", "  epoch: 4                     # of the data\n"))
    found = rewritten(path)
    assert [str(note) for note in found.notes] == ["train.epoch: is epochs now (since 0.3.0: a test)"]
    assert "  epochs: 4                    # of the data\n" in found.after  # in the column where comments are
    path.write_text(text.replace("  epochs: 4\n", "  epoch: 4\n  epochs: 4\n"))
    with pytest.raises(ConfigError, match="keep one"):
        rewritten(path)


def test_a_key_moves_to_another_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        Upgrade("0.3.0", "", "train.keep", moved("retention.runs"), "a test"),
        Upgrade("0.3.0", "", "train.seed", moved("seed"), "a test"),
    )
    monkeypatch.setattr(upgrades, "UPGRADES", rows)
    text, path = Path("params.yaml").read_text(), tmp_path / "params.yaml"
    path.write_text(
        re.sub(r"^  runs: 20.*\n", "", text, flags=re.MULTILINE).replace("train:\n", "train:\n  keep: 7\n", 1)
    )
    found = rewritten(path)
    assert [str(note) for note in found.notes] == ["train.keep: is retention.runs now (since 0.3.0: a test)"]
    save(found)
    assert load(path).retention.runs == 7
    path.write_text(text.replace("train:\n", "train:\n  seed: 7\n", 1))
    with pytest.raises(ConfigError, match=r"both train\.seed and seed"):
        rewritten(path)


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="three numbers"):
        upgrade({}, "yesterday")


@pytest.mark.parametrize(("before", "after"), [(True, "default"), (False, "off")])
def test_a_switch_that_became_a_choice_is_seen(before: bool, after: str) -> None:
    values: dict[str, Any] = {"train": {"compile": before}}
    (note,) = upgrade(values)
    assert values == {"train": {"compile": after}}
    assert str(note).startswith(f"train.compile: is {after} now")
    assert upgrade(values) == []
    file = read_params(Path("params.yaml"))
    file["train"]["compile"] = before
    with pytest.raises(ConfigError, match=r"(?s)train\.compile.*mtl upgrade-params"):
        parse(file)

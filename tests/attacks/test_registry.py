"""Whoever may write to MLflow, without a key: what they write is named, and nothing of it is used."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flows.checkout.workspace import effective_params
from flows.observe.status import collect as collect_status
from flows.registry.adoption import adopt
from flows.registry.lineage import collect as collect_lineage
from flows.retraining.gate_settings import gate_changes
from flows.retraining.unchanged import find_registered
from flows.settings import Settings
from flows.versions.champion import history, promote, roll_back
from flows.versions.diff import diff
from flows.versions.predict import predict
from flows.versions.reproduce import reproduce
from mtl.config.params import load
from mtl.errors import ConfigError, MtlError, RegistryError
from mtl.registry.promotion import CHAMPION, CHANGE
from mtl.registry.registry import CHALLENGER, Registry
from mtl.registry.tracking import FINGERPRINT, Tracker, artifact_digests
from mtl.registry.version import DECIDED, DECISION, STATEMENT, Version
from mtl.reports import Decision, PackageReport
from tests.conftest import ROOT, not_none
from tests.flows.test_evidence import report

NUMBERS = itertools.count(1)


def attack(words: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(boundary="registry writer", attack=words)


@dataclass
class World:
    """A checkout whose model has two versions, of which the first is champion; and what an attacker can do there."""

    settings: Settings
    registry: Registry
    tracker: Tracker
    scratch: Path

    @property
    def client(self) -> Any:
        return self.registry.client

    @property
    def model(self) -> str:
        return self.registry.model

    def register(self, value: float, name: str, size: int = 1000) -> Version:
        """A version as the flow registers it, with weights of so many names."""
        digest = (name * 64)[:64]
        run = self.tracker.open_run(digest, name)
        folder = self.scratch / f"{self.model}-{name}"
        (folder / "model" / "code").mkdir(parents=True)
        (folder / "model" / "weights").write_bytes(name.encode() * size)
        (folder / "model" / "code" / "predictor.py").write_text("x = 1\n")
        (folder / "evaluate").mkdir()
        (folder / "evaluate" / "report.json").write_text(report(value).model_dump_json())
        shutil.copyfile(self.settings.root / "params.yaml", folder / "params.yaml")
        (folder / "dvc.lock").write_text("stages: {}\n")
        (folder / "dvc.yaml").write_text("stages:\n  fetch:\n    cmd: 'true'\n")
        (folder / "requirements.lock").write_text("")
        (folder / "uncommitted.patch").write_text("")
        files = [*sorted(path for path in folder.iterdir() if path.is_file()), folder / "evaluate"]
        commit = subprocess.run(
            ["git", "-C", str(self.settings.root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        tags = {FINGERPRINT: digest, "mtl.commit": commit, "mtl.dirty": "true", "mtl.data": "d" * 32, "mtl.lock": "0"}
        self.tracker.log_lineage(run, tags, files, "d" * 32, "raw")
        package = PackageReport(weights_sha256="w" * 64, num_bytes=1000, files={})
        key = self.settings.ensure_signing_key()
        version = self.registry.register(run, folder / "model", package, tags, artifact_digests(files), key)
        self.tracker.finish(run, "FINISHED")
        decision = Decision(promote=True, champion=None, summary=f"promoted: {name}", rules=())
        self.registry.log_decision(version, decision, [])
        return self.registry.get(version.number)

    def again(self, settings: Settings | None = None) -> Registry:
        """The registry as another process sees it."""
        settings = settings or self.settings
        return Registry(settings.mlflow_uri, self.model, settings.trust)

    def tag(self, number: int, key: str, value: str) -> None:
        self.client.set_model_version_tag(self.model, str(number), key, value)

    def artifact(self, version: Version, name: str) -> Path:
        """Where an artifact of a run lies: whoever may write to the registry may change it."""
        return Path(self.client.get_run(version.run).info.artifact_uri.removeprefix("file://"), name)

    def copy(self, number: int) -> int:
        """A new version with another's run and all its tags."""
        old = self.client.get_model_version(self.model, str(number))
        made = self.client.create_model_version(self.model, old.source, old.run_id, tags=dict(old.tags))
        return int(made.version)

    def entries(self) -> dict[str, str]:
        ledger = self.registry.ledger
        return dict(self.client.get_run(ledger._find()).data.params)

    def enter(self, key: str, text: str) -> None:
        self.client.log_param(self.registry.ledger._find(), key, text)

    def rewrite(self, statement: str, *values: str) -> None:
        """What only the database's owner can do."""
        path = self.settings.mlflow_uri.removeprefix("sqlite:///")
        with sqlite3.connect(path) as link:
            done = link.execute(statement, (*values, self.registry.ledger._find()))
            assert done.rowcount == 1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def world(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in [name for name in os.environ if name.startswith("MTL_")]:
        monkeypatch.delenv(name)
    model = f"model{next(NUMBERS)}"
    root = tmp_path / "checkout"
    (root / ".dvc").mkdir(parents=True)
    text = (ROOT / "params.yaml").read_text().replace("model: multitask", f"model: {model}")
    (root / "params.yaml").write_text(text)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "requirements.lock").write_text("")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    settings = Settings(root, tmp_path / "home", f"sqlite:///{place}/mlflow.db", None)
    registry = Registry(settings.mlflow_uri, model, settings.trust)
    tracker = Tracker(settings.mlflow_uri, "attacks", (place / "artifacts").as_uri())
    found = World(settings, registry, tracker, tmp_path)
    found.register(0.7, "a")
    found.register(0.5, "b")
    registry.promotions.promote(1, None, why="first")
    registry = found.registry = found.again()
    return found


def refused(world: World, fragment: str, *, readers: str = "reproduce diff lineage promote predict") -> None:
    """Every reader of version 2 refuses, and names it."""
    settings, out = world.settings, str(world.scratch / "out")
    asked = {
        "reproduce": lambda: reproduce(settings, 2),
        "diff": lambda: diff(settings, 1, 2, [], ""),
        "lineage": lambda: collect_lineage(settings, 2),
        "promote": lambda: promote(settings, 2, override=True, why="x"),
        "predict": lambda: predict(settings, ["2"], [out], out, ["parquet"]),
    }
    for name in readers.split():
        with pytest.raises(MtlError) as caught:
            asked[name]()
        assert fragment in str(caught.value), name
        assert "2" in str(caught.value)


def test_what_nobody_touched_is_verified(world: World) -> None:
    found = world.registry.get(2)
    assert found.doubt is None
    assert found.tags[DECISION] == "promoted: b"
    assert collect_lineage(world.settings, 2).unverified is None
    assert diff(world.settings, 1, 2, [], "").unverified == {}
    status = collect_status(world.settings).champion
    assert status is not None
    assert (status.version, status.unverified) == (1, None)
    assert status.metrics
    config = load(world.settings.root / "params.yaml")
    assert find_registered(world.settings, config, "b" * 64) == found
    (entry,) = history(world.settings)
    assert entry.unverified is None


@attack("a commit that is an option of git")
@pytest.mark.parametrize("option", ["--upload-pack=touch {};", "--output={}", "HEAD", "-f"])
def test_a_commit_that_is_an_option(world: World, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = world.scratch / "mark"
    world.tag(2, "mtl.commit", option.format(mark))
    refused(world, "mtl.commit")
    assert not mark.exists()
    # Nor does a setting let it through, for it was signed as another one; nor where it was never signed.
    monkeypatch.setenv("MTL_UNVERIFIED", "allow")
    refused(world, "mtl.commit", readers="reproduce diff")
    world.client.delete_model_version_tag(world.model, "2", STATEMENT)
    refused(world, "commit", readers="reproduce diff")
    assert not mark.exists()


@attack("a run's lineage is altered")
@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock", "params.yaml", "requirements.lock", "uncommitted.patch"])
def test_altered_lineage(world: World, name: str) -> None:
    version = world.registry.get(2)
    world.artifact(version, f"lineage/{name}").write_text("stages: {fetch: {cmd: touch mark}}\n")
    refused(world, "not what was registered", readers="reproduce diff lineage")


@attack("a file is put beside a run's lineage")
def test_added_lineage_is_not_brought(world: World, tmp_path: Path) -> None:
    version = world.registry.get(2)
    world.artifact(version, "lineage/config.local").write_text("[remote]\n")
    world.registry.lineage(version, tmp_path / "kept")
    assert not (tmp_path / "kept" / "config.local").exists()
    assert (tmp_path / "kept" / "dvc.yaml").exists()


@attack("an old version is registered again as a new one")
def test_a_replayed_version(world: World) -> None:
    number = world.copy(1)
    with pytest.raises(RegistryError, match="statement of version 1, not 3"):
        promote(world.settings, number, override=True, why="x")
    world.client.set_registered_model_alias(world.model, CHALLENGER, str(number))
    assert "statement of version 1" in not_none(not_none(collect_status(world.settings).challenger).unverified)
    with pytest.raises(RegistryError, match="statement of version 1"):
        predict(world.settings, ["challenger"], ["x"], str(world.scratch / "out"), ["parquet"])
    config = load(world.settings.root / "params.yaml")
    assert find_registered(world.settings, config, "a" * 64) == world.registry.get(1)


@attack("another version's or model's statement is put on a version")
@pytest.mark.parametrize("other", ["version", "model"])
def test_anothers_statement(world: World, place: Path, other: str) -> None:
    source = world.client.get_model_version(world.model, "1")
    if other == "model":
        theirs = replace(world, registry=Registry(world.settings.mlflow_uri, f"{world.model}x", world.settings.trust))
        theirs.register(0.9, "c")
        theirs.register(0.9, "d")
        source = world.client.get_model_version(f"{world.model}x", "2")
    for key, value in source.tags.items():
        world.tag(2, key, value)
    refused(world, "it is a statement of")


@attack("a version is made without a statement, or with a stranger's")
@pytest.mark.parametrize("signed", [False, True])
def test_a_strangers_version(world: World, tmp_path: Path, signed: bool) -> None:
    from mtl.registry.trust import Trust
    from mtl.registry.version import statement

    version = world.registry.get(2)
    if signed:
        theirs = statement(Trust(own=tmp_path / "theirs"), world.model, 2, version.run, version.tags, version.files, 1)
        world.tag(2, STATEMENT, theirs)
    else:
        world.client.delete_model_version_tag(world.model, "2", STATEMENT)
    refused(world, "unverified", readers="reproduce promote predict")
    assert collect_lineage(world.settings, 2).unverified
    found = diff(world.settings, 1, 2, [], "")
    assert list(found.unverified) == ["2"]
    assert found.code.files is None
    config = load(world.settings.root / "params.yaml")
    assert find_registered(world.settings, config, "b" * 64) is None


@attack("a statement is edited")
@pytest.mark.parametrize("edit", ["tags", "files", "signature", "nonsense"])
def test_an_edited_statement(world: World, edit: str) -> None:
    found = json.loads(world.client.get_model_version(world.model, "2").tags[STATEMENT])
    if edit == "signature":
        found["signature"] = "AAAA"
    elif edit == "nonsense":
        found = [[[]]]
    else:
        key = next(iter(found["payload"][edit]))
        found["payload"][edit][key] = "1" * 64
    world.tag(2, STATEMENT, json.dumps(found))
    refused(
        world, "unverified" if edit == "nonsense" else "not what was registered", readers="reproduce promote predict"
    )


@attack("an evaluation is forged")
def test_a_forged_evaluation(world: World) -> None:
    version = world.registry.get(2)
    world.artifact(version, "evaluate/report.json").write_text(report(0.99).model_dump_json())
    refused(world, "not what was registered", readers="promote diff")
    assert world.again().champion() == world.registry.get(1)


@attack("the champion's evaluation is worsened, so that anything is better")
def test_a_worsened_champion(world: World) -> None:
    world.artifact(world.registry.get(1), "evaluate/report.json").write_text(report(0.01).model_dump_json())
    with pytest.raises(RegistryError, match="not what was registered"):
        promote(world.settings, 2, override=False, why="")


@attack("the comparison with the champion is forged")
@pytest.mark.parametrize("way", ["plain", "stranger", "another pair's"])
def test_a_forged_comparison(world: World, tmp_path: Path, way: str) -> None:
    from mtl.registry.trust import Trust

    one, two = world.registry.get(1), world.registry.get(2)
    forged = report(0.01)
    if way == "plain":
        world.client.log_text(two.run, forged.model_dump_json(), "comparison/version-1.json")
    elif way == "stranger":
        Registry(world.settings.mlflow_uri, world.model, Trust(own=tmp_path / "t")).save_comparison(two, one, forged)
    else:
        third = world.register(0.4, "c")
        world.registry.save_comparison(third, two, forged)
        text = Path(world.client.download_artifacts(third.run, "comparison/version-2.json")).read_text()
        world.client.log_text(two.run, text, "comparison/version-1.json")
    assert world.registry.comparison(two, one) is None
    decision, entry = promote(world.settings, 2, override=False, why="")
    assert (decision.promote, entry) == (False, None)
    world.registry.save_comparison(two, one, report(0.6))
    assert world.registry.comparison(two, one) == report(0.6)


@attack("a version's artifacts are swapped with another's")
def test_swapped_artifacts(world: World) -> None:
    one, two = world.registry.get(1), world.registry.get(2)
    for name in ("model", "evaluate", "lineage"):
        shutil.rmtree(world.artifact(two, name))
        shutil.copytree(world.artifact(one, name), world.artifact(two, name))
    refused(world, "not what was registered", readers="diff predict promote")


@attack("a version is given another's run")
def test_a_swapped_run(world: World) -> None:
    path = world.settings.mlflow_uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as link:
        words = "update model_versions set run_id = ? where name = ? and version = 2"
        assert link.execute(words, (world.registry.get(1).run, world.model)).rowcount == 1
    refused(world, "it is a statement of run")


@attack("code is put into a package, or linked from elsewhere")
@pytest.mark.parametrize("way", ["changed", "added", "signature", "link"])
def test_a_changed_package(world: World, tmp_path: Path, way: str) -> None:
    package = world.artifact(world.registry.get(2), "model")
    if way == "changed":
        (package / "code" / "predictor.py").write_text("print('not mine')\n")
    elif way == "added":
        (package / "code" / "more.py").write_text("")
    elif way == "signature":
        (package / "code" / "model.sig").write_text("")
    else:
        (tmp_path / "evil").mkdir()
        (package / "code" / "evil").symlink_to(tmp_path / "evil", target_is_directory=True)
    with pytest.raises(RegistryError, match=r"not what was registered|Failed to download"):
        predict(world.settings, ["2"], ["x"], str(tmp_path / "out"), ["parquet"])


@attack("a decision is forged")
def test_a_forged_decision(world: World) -> None:
    third = world.register(0.6, "c")
    world.client.delete_model_version_tag(world.model, "3", DECIDED)
    world.tag(3, DECISION, "promoted: all is well")
    assert DECISION not in world.registry.get(3).tags
    world.tag(3, DECIDED, world.client.get_model_version(world.model, "2").tags[DECIDED])
    assert DECISION not in world.registry.get(3).tags
    assert collect_lineage(world.settings, third.number).decision is None


@attack("the champion's alias is moved")
def test_a_moved_alias(world: World) -> None:
    world.client.set_registered_model_alias(world.model, CHAMPION, "2")
    champion = world.again().champion()
    assert champion is not None and champion.number == 1
    assert int(world.client.get_model_version_by_alias(world.model, CHAMPION).version) == 1


@attack("an alias is set where nothing was ever promoted")
def test_an_alias_before_any_promotion(world: World) -> None:
    fresh = Registry(world.settings.mlflow_uri, f"{world.model}y", world.settings.trust)
    replace(world, registry=fresh).register(0.5, "e")
    world.client.set_registered_model_alias(fresh.model, CHAMPION, "1")
    with pytest.raises(RegistryError, match="nobody who is trusted has made it champion"):
        fresh.champion()


@attack("an entry is added to the history")
@pytest.mark.parametrize("way", ["plain", "replayed", "stranger", "nonsense", "far"])
def test_an_added_entry(world: World, tmp_path: Path, way: str) -> None:
    from mtl.registry.ledger import Ledger
    from mtl.registry.trust import Trust

    plain = {"from": 1, "to": 2, "kind": "promotion", "why": "", "who": "owner", "when": "now", "id": "1"}
    key = f"{CHANGE}/{999999 if way == 'far' else 2:06d}"
    if way in ("plain", "far"):
        world.enter(key, json.dumps(plain))
    elif way == "replayed":
        world.enter(key, world.entries()[f"{CHANGE}/000001"])
    elif way == "stranger":
        head = world.registry.promotions.chain().head
        Ledger(world.settings.mlflow_uri, world.client, world.model, Trust(own=tmp_path / "t")).write(
            key, plain | {"previous": head}
        )
    else:
        world.enter(key, "[" * 3000)
    again = world.again()
    champion = again.champion()
    assert champion is not None and champion.number == 1
    shown = history(world.settings)
    assert [entry.unverified is not None for entry in shown] == [False, True]
    with pytest.raises(RegistryError, match=r"never champion|no version was champion"):
        roll_back(world.settings, 2, "x")
    again.promotions.promote(2, 1)  # it blocks nothing
    assert [entry.to for entry in world.again().promotions.history()] == [1, 2]


@attack("an entry of the history is rewritten, removed or moved")
@pytest.mark.parametrize("way", ["rewritten", "unsigned", "removed", "reordered"])
@pytest.mark.parametrize("last", [False, True])
def test_a_changed_history(world: World, way: str, last: bool) -> None:
    promotions = world.registry.promotions
    promotions.promote(2, 1)
    promotions.promote(1, 2)
    number = 3 if last else 2
    key = f"{CHANGE}/{number:06d}"
    text = world.entries()[key]
    assert world.again().promotions.champion() == 1
    if way == "removed":
        world.rewrite("delete from params where key = ? and run_uuid = ?", key)
    elif way == "reordered":
        world.rewrite("update params set key = ? where key = ? and run_uuid = ?", f"{CHANGE}/000009", key)
    else:
        other = json.loads(text)
        other["payload"]["value"]["to"] = 7
        other = other["payload"]["value"] if way == "unsigned" else other
        world.rewrite("update params set value = ? where key = ? and run_uuid = ?", json.dumps(other), key)
    for asked in (world.again().champion, lambda: history(world.settings), lambda: roll_back(world.settings, None, "")):
        with pytest.raises(RegistryError, match=r"history of .* champions"):
            asked()


@attack("the ledger is replaced by an older copy of it")
def test_an_older_ledger(world: World) -> None:
    world.registry.promotions.promote(2, 1)
    assert world.again().promotions.champion() == 2
    experiment = world.client.get_experiment_by_name(f"ledger of {world.model}")
    entries = world.entries()
    copy = world.client.create_run("0").info.run_id
    for key in [key for key in entries if key != f"{CHANGE}/000002"]:
        world.client.log_param(copy, key, entries[key])
    world.client.set_experiment_tag(experiment.experiment_id, "mtl.ledger_run", copy)
    with pytest.raises(RegistryError, match="lost changes that were seen here"):
        world.again().champion()


@attack("a fingerprint is claimed for another version")
def test_a_claimed_fingerprint(world: World) -> None:
    world.enter(f"version/{'f' * 64}", json.dumps({"version": 1}))
    version = world.register(0.6, "f")
    assert version.number == 3
    assert world.again().find("f" * 64) == version


@attack("a version is made before ours with our fingerprint")
def test_a_version_before_ours(world: World) -> None:
    old = world.client.get_model_version(world.model, "1")
    tags = {FINGERPRINT: "g" * 64, DECISION: "promoted"}
    world.client.create_model_version(world.model, old.source, old.run_id, tags=tags)
    assert world.registry.find("g" * 64) is None
    version = world.register(0.6, "g")
    assert (version.number, version.doubt) == (4, None)
    assert world.again().find("g" * 64) == version


@attack("a key is not known: nothing is let through unseen")
def test_without_a_key(world: World, tmp_path: Path) -> None:
    stranger = replace(world.settings, home=tmp_path / "other")
    for asked in (
        lambda: reproduce(stranger, 2),
        lambda: predict(stranger, ["champion"], ["x"], str(tmp_path / "out"), ["parquet"]),
        lambda: predict(stranger, ["2"], ["x"], str(tmp_path / "out"), ["parquet"]),
        lambda: promote(stranger, 2, override=True, why="x"),
        lambda: roll_back(stranger, None, ""),
    ):
        with pytest.raises(RegistryError, match="unverified"):
            asked()
    assert "no public key is known" in not_none(not_none(collect_status(stranger).champion).unverified)
    assert "no public key is known" in not_none(collect_lineage(stranger, 2).unverified)
    assert diff(stranger, 1, 2, [], "").code.files is None
    assert [entry.unverified is not None for entry in history(stranger)] == [True]
    assert not (tmp_path / "other" / "keys").exists()  # looking makes no keys


@attack("a trusted key that is missing is no key less")
@pytest.mark.parametrize("way", ["absent", "empty", "nonsense"])
def test_a_key_that_is_not_there(world: World, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trusted"
    if way == "empty":
        path.mkdir()
    elif way == "nonsense":
        path.write_text("no key")
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(path))
    with pytest.raises(RegistryError, match="public key"):
        world.again().get(2)


def test_a_team_trusts_several_keys(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, team = world.settings.home / "keys", tmp_path / "team"
    team.mkdir()
    shutil.copyfile(own / "public.pem", team / "first.pem")
    other = replace(world.settings, home=tmp_path / "other")
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", f"{team}{os.pathsep}{own / 'public.pem'}")
    theirs = world.again(other)
    assert theirs.champion() == world.registry.get(1)
    theirs.promotions.promote(2, 1)  # signed with the other home's key
    shutil.copyfile(tmp_path / "other" / "keys" / "public.pem", team / "second.pem")
    assert world.again().promotions.champion() == 2
    # The public key follows from the private one.
    monkeypatch.delenv("MTL_SIGNING_PUBLIC_KEY")
    monkeypatch.setenv("MTL_SIGNING_KEY", str(own / "private.pem"))
    assert world.again(replace(world.settings, home=tmp_path / "third")).get(1).doubt is None


def test_versions_without_a_statement_may_be_allowed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.client.delete_model_version_tag(world.model, "2", STATEMENT)
    with pytest.raises(RegistryError, match="mtl --unverified"):
        world.registry.evaluation(world.registry.get(2))
    monkeypatch.setenv("MTL_UNVERIFIED", "allow")
    again = world.again()
    assert again.evaluation(again.get(2)) == report(0.5)
    # Somebody signs for it, and for a change of the champion from then.
    plain = {"from": 1, "to": 2, "kind": "promotion", "why": "", "who": "owner", "when": "then", "id": "1"}
    world.enter(f"{CHANGE}/000002", json.dumps(plain))
    assert adopt(world.settings, []) == [2]
    monkeypatch.delenv("MTL_UNVERIFIED")
    with pytest.raises(RegistryError, match="mtl --unverified adopt"):
        adopt(world.settings, [])
    champion = world.again().champion()
    assert champion is not None
    assert (champion.number, champion.doubt, champion.tags[DECISION]) == (2, None, "promoted: b")
    assert [entry.kind for entry in history(world.settings)] == ["promotion", "promotion", "adoption"]
    assert not any(entry.unverified for entry in history(world.settings))


@attack("the gate's settings are others than the committed ones")
@pytest.mark.parametrize("way", ["edit", "floor"])
def test_edited_gate_settings(world: World, way: str) -> None:
    path = world.settings.root / "params.yaml"
    text = path.read_text()
    edited = (
        text.replace("floor: 0.5", "floor: 0.0", 1) if way == "floor" else text.replace("  margin:", "  margin: 1.0 #")
    )
    assert edited != text
    path.write_text(edited)
    with pytest.raises(MtlError, match="are not the committed ones") as caught:
        promote(world.settings, 2, override=False, why="")
    assert ("gate.margin" if way == "edit" else "tasks.digit.floor") in str(caught.value)
    with pytest.raises(MtlError, match=r"needs a reason|not the committed ones"):
        promote(world.settings, 2, override=True, why=" ")
    _, entry = promote(world.settings, 2, override=True, why="a trial")
    assert entry is not None
    assert "a trial" in entry.why
    (key,) = history(world.settings)[-1].settings
    assert key == ("gate.margin" if way == "edit" else "tasks.digit.floor")


@attack("the gate's settings are others than the committed ones")
@pytest.mark.parametrize("override", ["gate.margin=1.0", "gate.min_skill=null", "gate={}", "tasks.digit.floor=null"])
def test_overridden_gate_settings(world: World, override: str) -> None:
    root = world.settings.root
    params = effective_params(root, [override])
    with pytest.raises(ConfigError, match="are not the committed ones"):
        gate_changes(root, params, override=True, why="")
    assert gate_changes(root, params, override=True, why="a trial")
    assert not gate_changes(root, effective_params(root, ["train.epochs=2"]), override=False, why="")
    subprocess.run(
        ["git", "update-ref", "-d", "HEAD"], cwd=root, check=True
    )  # nothing is committed: nothing is taken for it
    with pytest.raises(ConfigError, match="are not the committed ones"):
        gate_changes(root, effective_params(root, []), override=False, why="")
    shutil.rmtree(root / ".git")
    with pytest.raises(MtlError, match="no git checkout"):
        gate_changes(root, effective_params(root, []), override=True, why="x")


@attack("somebody says that they are another")
def test_who_is_what_the_system_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    for name in ("MTL_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "the boss")
    entry = world.registry.promotions.promote(2, 1)
    assert entry.who.startswith(f"{pwd.getpwuid(os.geteuid()).pw_name}@")
    assert entry.who.endswith("(the boss)")

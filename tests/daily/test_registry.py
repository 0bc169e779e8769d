"""What people do in MLflow's page: each state is told apart, says what to do, and is mended with an entry in the history."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from flows.checks import QUICK, TRAINING, check, remote
from flows.observe.status import collect as status
from flows.registry.lineage import collect as lineage
from flows.registry.repair import examine, repair
from flows.settings import Settings
from flows.versions.champion import history, promote, roll_back
from flows.versions.endpoint import serve_endpoint
from flows.versions.predict import predict
from mtl.config.params import load
from mtl.errors import GoneError, MtlError
from mtl.registry.ledger import RUN_TAG, Ledger
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import Registry
from mtl.registry.tracking import Tracker
from mtl.registry.version import Version
from tests.attacks.test_registry import World
from tests.conftest import ROOT, clean_environment, free_port, heard, not_none
from tests.daily import situation
from tests.servers import mlflow_server, running

NUMBERS = itertools.count(1)


class Team(World):
    """A checkout whose model has three versions: 1 was champion, 2 is it, 3 is the next."""

    @property
    def experiment(self) -> str:
        return self.tracker.experiment

    def gc(self) -> None:
        """What `mlflow gc` does: what is in the bin is gone for good."""
        environment = clean_environment() | {"MLFLOW_TRACKING_URI": self.settings.mlflow_uri}
        words = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", self.settings.mlflow_uri]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def package(self, version: Version) -> Path:
        return self.artifact(version, "model")

    def mend(self) -> list[str]:
        """`mtl registry repair --yes`: what it said; nothing may be left."""
        assert examine(self.settings)
        with heard() as said:
            assert repair(self.settings) == []
        assert examine(self.settings) == []
        self.registry = self.again()
        return said

    def asked(self) -> dict[str, Callable[[], Any]]:
        """Every command that needs the champion."""
        settings, out = self.settings, str(self.scratch / "out")
        config = load(settings.root / "params.yaml")
        return {
            "retrain, unchanged": lambda: check(settings, config, QUICK),
            "retrain": lambda: check(settings, config, [one for one in TRAINING if one is not remote]),
            "predict": lambda: predict(settings, ["champion"], [out], out, ["parquet"]),
            "endpoint": lambda: serve_endpoint(settings, "champion", "127.0.0.1", free_port(), 1),
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def team(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    for name in [name for name in os.environ if name.startswith("MTL_")]:
        monkeypatch.delenv(name)
    return make_team(tmp_path, f"sqlite:///{place}/mlflow.db", (place / "artifacts").as_uri())


def make_team(folder: Path, uri: str, artifacts: str | None) -> Team:
    model = f"team{next(NUMBERS)}"
    root = folder / "checkout"
    root.mkdir()
    text = (ROOT / "params.yaml").read_text().replace("model: multitask", f"model: {model}")
    (root / "params.yaml").write_text(text.replace("experiment: retraining", f"experiment: of {model}"))
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "requirements.lock").write_text("")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    settings = Settings(root, folder / "home", uri, None)
    registry = Registry(settings.mlflow_uri, model, settings.trust)
    tracker = Tracker(settings.mlflow_uri, f"of {model}", artifacts)
    found = Team(settings, registry, tracker, folder)
    for value, name in ((0.5, "a"), (0.6, "b"), (0.55, "c")):
        found.register(value, name)
    registry.promotions.promote(1, None, why="first")
    registry.promotions.promote(2, 1, why="better")
    found.registry = found.again()
    assert found.registry.champion() is not None  # its home has seen the history
    return found


def refused(team: Team, *fragments: str) -> None:
    """Every command that needs the champion says what is the matter, and what to do."""
    for name, ask in team.asked().items():
        with pytest.raises(GoneError) as caught:
            ask()
        for fragment in (*fragments, "mtl registry repair"):
            assert fragment in str(caught.value), name


def kinds(team: Team) -> list[tuple[str, int | None, int | None]]:
    return [(entry.kind, entry.replaces, entry.to) for entry in history(team.settings)]


START = [("promotion", None, 1), ("promotion", 1, 2)]


@situation("what nobody deleted: nothing to mend, and the ledger says in MLflow's page what it is")
def test_whole(team: Team) -> None:
    assert examine(team.settings) == []
    experiment = team.client.get_experiment_by_name(team.registry.ledger.name)
    assert experiment is not None
    assert "mtl history" in experiment.tags["mlflow.note.content"]
    (run,) = team.client.search_runs([experiment.experiment_id])
    assert run.info.run_id == experiment.tags[RUN_TAG]
    assert [run for run in team.client.search_runs(["0"]) if run.info.run_name == team.registry.ledger.name] == []


@situation("the champion's version deleted in MLflow's page")
def test_a_deleted_champion(team: Team) -> None:
    weights = team.registry.get(2).tags["mtl.package_sha256"]
    team.client.delete_model_version(team.model, "2")
    refused(team, f"version 2, the champion of {team.model}, was deleted in MLflow")
    assert "was deleted in MLflow" in not_none(not_none(status(team.settings).champion).gone)
    with pytest.raises(GoneError, match=r"version 2 of .* was deleted in MLflow"):
        lineage(team.settings, 2)
    decision, entry = promote(team.settings, 3, override=False, why="")
    assert entry is None
    assert "was deleted in MLflow" in decision.summary
    assert kinds(team) == START
    assert any("registered again from its run" in line for line in team.mend())
    champion = not_none(team.registry.champion())
    assert champion is not None
    assert (champion.number, champion.tags["mtl.package_sha256"]) == (4, weights)
    assert champion.tags["mtl.decision"] == "promoted: b"
    assert kinds(team) == [*START, ("repair", 2, 4)]
    assert roll_back(team.settings, None, "back").to == 1


@situation("a version other than the champion deleted")
def test_a_deleted_version(team: Team) -> None:
    team.client.delete_model_version(team.model, "1")
    with pytest.raises(GoneError, match=r"version 1, once champion of .* was deleted in MLflow"):
        roll_back(team.settings, None, "")
    with pytest.raises(GoneError, match=r"version 1 of .* was deleted in MLflow"):
        promote(team.settings, 1, override=True, why="x")
    with pytest.raises(MtlError, match="has no version 17"):
        lineage(team.settings, 17)
    team.mend()
    assert kinds(team)[2:] == [("repair", 2, 2)]
    assert roll_back(team.settings, None, "").to == 4
    assert lineage(team.settings, 4).metrics


@pytest.mark.slow
@situation("promote --override and rollback while the champion is deleted")
def test_a_person_goes_on(team: Team) -> None:
    team.client.delete_model_version(team.model, "2")
    _, entry = promote(team.settings, 3, override=True, why="the champion is gone")
    assert entry is not None
    assert (entry.replaces, entry.to) == (2, 3)
    assert roll_back(team.settings, 1, "an older one").to == 1
    assert kinds(team) == [*START, ("promotion", 2, 3), ("rollback", 3, 1)]


@situation("the registered model deleted: numbers do not begin again, and no version is champion without a gate")
def test_a_deleted_model(team: Team) -> None:
    team.client.delete_registered_model(team.model)
    refused(team, f"the model {team.model} was deleted in MLflow")
    made = team.register(0.9, "d")
    assert made.number == 4  # 1 to 3 are other versions
    with pytest.raises(GoneError, match="version 2, the champion"):
        team.registry.champion()
    team.mend()
    champion = not_none(team.registry.champion())
    assert champion is not None
    assert champion.tags["mtl.decision"] == "promoted: b"


@situation("a version 1 that another program registers after the model was deleted")
def test_another_version_of_the_same_number(team: Team) -> None:
    run = team.registry.get(3).run
    team.client.delete_registered_model(team.model)
    team.client.create_registered_model(team.model)
    for _ in range(2):
        team.client.create_model_version(team.model, f"{team.client.get_run(run).info.artifact_uri}/model", run)
    with pytest.raises(GoneError, match="what has its number now is another version"):
        team.registry.champion()
    team.client.set_registered_model_alias(team.model, CHAMPION, "2")
    refused(team, "what has its number now is another version")
    assert team.registry.promotions.of(2) is None


@situation("the registered model renamed")
def test_a_renamed_model(team: Team) -> None:
    team.client.rename_registered_model(team.model, f"{team.model}-nice")
    refused(team, f"the model {team.model} was renamed in MLflow", f"{team.model}-nice")
    assert "renamed" in not_none(not_none(status(team.settings).champion).gone)
    team.mend()
    assert not_none(team.registry.champion()).number == 2
    assert kinds(team) == [*START, ("repair", 2, 2)]


@pytest.mark.slow
@situation("the experiment of the runs deleted")
def test_a_deleted_experiment(team: Team) -> None:
    team.client.delete_experiment(team.experiment)
    with pytest.raises(GoneError, match=f"the experiment of {team.model} was deleted in MLflow"):
        Tracker(team.settings.mlflow_uri, f"of {team.model}")
    team.mend()
    Tracker(team.settings.mlflow_uri, f"of {team.model}")


@pytest.mark.slow
@situation("a version's run deleted: restored before mlflow gc takes its package")
def test_a_deleted_run(team: Team) -> None:
    champion = not_none(team.registry.champion())
    team.client.delete_run(champion.run)
    assert not_none(status(team.settings).champion).version == 2
    (said,) = team.mend()
    assert "mlflow gc would remove its package" in said
    assert team.client.get_run(champion.run).info.lifecycle_stage == "active"


@situation("the champion's package deleted: put back from the verified copy")
def test_a_deleted_package(team: Team) -> None:
    champion = not_none(team.registry.champion())
    team.registry.whole(champion, team.settings.copies)
    shutil.rmtree(team.package(champion))
    refused(team, "the package of version 2")
    team.mend()
    assert team.registry.whole(champion) == 1006


@pytest.mark.slow
@situation("a part of a package deleted: put back from what the checkout has just made")
def test_a_part_of_a_package(team: Team) -> None:
    champion = not_none(team.registry.champion())
    made = team.settings.root / "outputs" / "package" / "model"
    shutil.copytree(team.package(champion), made)
    (made / "model.sig").unlink()
    (team.package(champion) / "weights").unlink()
    refused(team, "the package of version 2", "or a part of it")
    with pytest.raises(GoneError, match="6 of 1000 bytes are there"):
        team.asked()["retrain, unchanged"]()
    for fetches in ("retrain", "predict", "endpoint"):
        with pytest.raises(GoneError, match="missing: weights"):
            team.asked()[fetches]()
    team.mend()
    assert team.registry.whole(champion) == 1006


@situation("a version without its package is never promoted, not even by --override")
def test_a_version_without_its_package(team: Team) -> None:
    shutil.rmtree(team.package(team.registry.get(3)))
    with pytest.raises(GoneError, match="the package of version 3"):
        promote(team.settings, 3, override=True, why="x")
    shutil.rmtree(team.package(team.registry.get(1)))
    with pytest.raises(GoneError, match="the package of version 1"):
        roll_back(team.settings, 1, "x")
    assert kinds(team) == START


@pytest.mark.slow
@situation("champion, run and package gone for good: the one before is champion again, or nobody")
def test_nothing_is_left(team: Team) -> None:
    for number in (2, 1):
        run = team.registry.get(number).run
        team.client.delete_model_version(team.model, str(number))
        team.client.delete_run(run)
        team.gc()
        (damage,) = [one for one in examine(team.settings) if one.mend]
        assert ("version 1, champion before" if number == 2 else "nobody is champion") in damage.remedy
        repair(team.settings)
    assert kinds(team) == [*START, ("loss", 2, 1), ("loss", 1, None)]
    assert status(team.settings).champion is None
    decision, entry = promote(
        team.settings, 3, override=False, why=""
    )  # there was a champion: this is no first version
    assert entry is None
    assert "champion judged" in decision.summary
    assert promote(team.settings, 3, override=True, why="the best that is left")[1] is not None
    assert not_none(team.again().champion()).number == 3


@situation("the run of the ledger deleted")
def test_a_deleted_ledger_run(team: Team) -> None:
    team.client.delete_run(team.registry.ledger._find())
    assert kinds(team) == START  # what is in the bin is still read
    with pytest.raises(GoneError, match=r"the ledger of .* was deleted in MLflow"):
        roll_back(team.settings, 1, "")
    team.mend()
    assert kinds(team) == [*START, ("repair", 2, 2)]


@situation("the experiment of the ledger renamed")
def test_a_renamed_ledger(team: Team) -> None:
    found = team.client.get_experiment_by_name(team.registry.ledger.name)
    team.client.rename_experiment(found.experiment_id, "rubbish?")
    for ask in (lambda: history(team.settings), lambda: roll_back(team.settings, 1, "")):
        with pytest.raises(GoneError, match="was renamed in MLflow"):
            ask()
    assert "was renamed" in not_none(not_none(status(team.settings).champion).gone)
    team.mend()
    assert kinds(team) == [*START, ("repair", 2, 2)]


@pytest.mark.slow
@situation("the ledger deleted for good: written again from the copy that a home keeps")
@pytest.mark.parametrize("what", ["run", "experiment"])
def test_a_ledger_that_is_gone(team: Team, what: str) -> None:
    ledger = team.registry.ledger
    if what == "run":
        team.client.delete_run(ledger._find())
    else:
        team.client.delete_experiment(team.client.get_experiment_by_name(ledger.name).experiment_id)
    team.gc()
    with pytest.raises(GoneError, match="was deleted in MLflow for good"):
        history(team.settings)
    refused(team, "was deleted in MLflow for good")
    assert "for good" in not_none(not_none(status(team.settings).champion).gone)
    team.mend()
    assert kinds(team) == [*START, ("repair", 2, 2)]
    assert not_none(team.registry.champion()).number == 2


@situation("aliases moved or removed by hand")
def test_aliases(team: Team) -> None:
    team.client.delete_registered_model_alias(team.model, CHAMPION)
    assert not_none(status(team.settings).champion).version == 2
    team.client.set_registered_model_alias(team.model, CHAMPION, "1")
    assert not_none(status(team.settings).champion).version == 2
    assert int(team.client.get_model_version_by_alias(team.model, CHAMPION).version) == 2
    assert kinds(team) == START


@situation("a ledger in the experiment Default, as before, moves with its chain")
@pytest.mark.parametrize(
    "crash",
    ["", *(pytest.param(name, marks=pytest.mark.slow) for name in ("log_param", "delete_run", "set_experiment_tag"))],
)
def test_a_ledger_in_default(team: Team, crash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client, ledger = team.client, team.registry.ledger
    old = client.create_run("0", run_name=ledger.name).info.run_id
    for key, text in client.get_run(ledger._find()).data.params.items():
        client.log_param(old, key, text)
    experiment = client.get_experiment_by_name(ledger.name).experiment_id
    client.delete_run(ledger._find())
    client.set_experiment_tag(experiment, RUN_TAG, old)
    before = history(team.settings)
    if crash:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, crash, lambda *words, **more: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                Ledger(team.settings.mlflow_uri, client, team.model, team.settings.trust).write("k", {})
        assert history(team.settings) == before
    stale = team.again()
    assert stale.promotions.history() == before
    assert roll_back(team.settings, 1, "").to == 1
    assert history(team.settings)[:2] == before
    assert stale.promotions.history() == history(team.settings)  # who had found the old run goes on with the new one
    stale.promotions.promote(3, 1)
    found = client.get_experiment(experiment)
    assert client.get_run(found.tags[RUN_TAG]).info.experiment_id == experiment
    assert client.get_run(old).info.lifecycle_stage == "deleted"
    assert [entry.to for entry in history(team.settings)] == [1, 2, 1, 3]


@pytest.mark.slow
@situation("a fingerprint's claim of before the model was deleted names another version")
def test_a_claim_of_another_version(team: Team) -> None:
    digest = ("b" * 64)[:64]
    team.client.delete_registered_model(team.model)
    numbers = {name: team.register(0.5, name).number for name in ("e", "f")}
    assert len(set(numbers.values())) == 2
    assert team.registry.find(digest) is None
    assert {not_none(team.registry.find(name * 64)).number for name in numbers} == set(numbers.values())


@pytest.mark.slow
@situation("the same behind a real MLflow server")
def test_behind_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    store = tmp_path / "server"
    with running(mlflow_server(store, f"sqlite:///{tmp_path}/mlflow.db")) as server:
        team = make_team(tmp_path, server.address, None)
        assert examine(team.settings) == []
        experiment = team.client.get_experiment_by_name(team.registry.ledger.name)
        team.client.rename_experiment(experiment.experiment_id, "rubbish?")
        refused(team, "was renamed in MLflow")
        team.mend()
        champion = not_none(team.registry.champion())
        team.registry.whole(champion, team.settings.copies)
        for path in (store / "artifacts").rglob(f"{champion.run}/artifacts/model"):
            shutil.rmtree(path)
        shutil.move(team.settings.copies.folder, tmp_path / "copies")
        refused(team, "the package of version 2")
        shutil.move(tmp_path / "copies", team.settings.copies.folder)
        team.mend()
        team.client.delete_run(champion.run)
        team.client.delete_experiment(team.experiment)
        team.mend()
        team.client.delete_registered_model(team.model)
        refused(team, f"the model {team.model} was deleted in MLflow")
        team.mend()
        assert not_none(team.registry.champion()).number == 4
        assert [kind for kind, *_ in kinds(team)[2:]] == ["repair"] * 5

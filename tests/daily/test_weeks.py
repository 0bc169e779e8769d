"""Weeks pass: what is kept no longer goes, what somebody needs stays, and a home does not grow."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.observe.sizes import line, sizes
from flows.registry.lineage import collect as lineage
from flows.registry.repair import examine
from flows.registry.retention import Plan, after_run, carry_out, plan
from flows.settings import Settings
from flows.versions.champion import history, roll_back
from mtl.config.params import Config, load
from mtl.errors import GoneError
from mtl.registry.fingerprint import read_stages
from mtl.registry.registry import CHALLENGER, Registry
from mtl.registry.tracking import Tracker
from tests.attacks.test_registry import World
from tests.conftest import ROOT, embedded, make_checkout, mtl, not_none
from tests.daily import situation


class Years(World):
    """A home in which weeks pass."""

    config: Config

    def week(self, number: int, *, promoted: bool = False, size: int = 1000) -> None:
        """A version is made, and perhaps promoted; then a week passes."""
        version = self.register(0.5, f"{number:02x}", size)
        if promoted:
            self.registry.promotions.promote(version.number, self.registry.promotions.recorded())
        else:
            self.client.set_registered_model_alias(self.model, CHALLENGER, str(version.number))
        self.pass_days(7)

    def pass_days(self, days: int) -> None:
        """All that there is becomes older."""
        time = days * 86400 * 1000
        with closing(sqlite3.connect(self.settings.mlflow_uri.removeprefix("sqlite:///"))) as link, link:
            link.execute(f"update model_versions set creation_time = creation_time - {time}")
            link.execute(f"update runs set start_time = start_time - {time}, end_time = end_time - {time}")

    def clean(self, **rules: int | None) -> Plan:
        config = self.config
        config = config.model_copy(update={"retention": config.retention.model_copy(update=rules)})
        going = plan(self.settings, config, self.registry)
        carry_out(self.settings, config, self.registry, going)
        return going

    def numbers(self) -> list[int]:
        return [version.number for version in self.again().versions()]


@pytest.fixture
def years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Years:
    for name in [name for name in os.environ if name.startswith(("MTL_", "MLFLOW_TRACKING"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "checkout"
    (root / ".mtl").mkdir(parents=True)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (root / ".gitignore").write_text("/.mtl\n")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    settings = Settings(root, root / ".mtl", f"sqlite:///{root}/.mtl/mlflow.db", None)
    registry = Registry(settings.mlflow_uri, "multitask", settings.trust)
    tracker = Tracker(settings.mlflow_uri, "retraining", settings.artifacts)
    found = Years(settings, registry, tracker, tmp_path)
    found.config = load(root / "params.yaml")
    return found


@situation("old versions go with runs, packages and reports; champions, names and what waits stay; the history says it")
def test_what_goes_and_what_stays(years: Years) -> None:
    for number in range(1, 9):
        years.week(number, promoted=number in (1, 2, 4))
    years.client.set_model_version_tag("multitask", "3", "paper", "figure 2")
    years.client.set_tag(years.registry.get(5).run, "mlflow.note.content", "the one with the odd curve")
    years.client.delete_model_version_tag("multitask", "6", "mtl.decision")
    years.client.delete_model_version_tag("multitask", "6", "mtl.decided")
    failed = years.tracker.open_run("f" * 64, "failed")
    years.tracker.finish(failed, "FAILED")
    years.pass_days(60)
    page = years.settings.home / "reports" / "version-1.html"
    page.parent.mkdir(parents=True)
    page.write_text("x")
    artifacts = years.artifact(years.registry.get(1), "model")
    assert artifacts.exists()
    before = history(years.settings)
    going = years.clean(versions=1, champions=1, runs=0)
    assert [version.number for version in going.versions] == [1, 7]
    assert going.runs == [failed]
    assert years.numbers() == [2, 3, 4, 5, 6, 8]  # before, tagged, champion, noted, undecided, newest and challenger
    assert not artifacts.exists()
    assert not page.exists()
    with pytest.raises(GoneError, match="version 1 of multitask was removed by retention"):
        lineage(years.settings, 1)
    with pytest.raises(GoneError, match="was removed by retention"):
        roll_back(years.settings, 1, "")
    assert history(years.settings)[:-1] == before
    entry = history(years.settings)[-1]
    assert (entry.kind, entry.replaces, entry.to, entry.removed) == ("removal", 4, 4, (1, 7))
    assert "removed by retention" in entry.why
    assert examine(years.settings) == []  # nothing that somebody would have to mend
    assert not_none(years.again().champion()).number == 4
    assert roll_back(years.settings, None, "").to == 2
    assert years.clean(versions=1, champions=1, runs=0).lines() == []
    shutil.rmtree(years.scratch / "multitask-01")
    assert years.register(0.5, "01").number == 9  # a fingerprint that was there before


@situation("the default keeps a month and 20 versions; null keeps all")
def test_defaults(years: Years) -> None:
    years.week(1, promoted=True)
    years.week(2)
    years.pass_days(400)
    assert years.clean().lines() == []
    assert years.clean(versions=None).lines() == []
    assert (years.config.retention.versions, years.config.retention.days) == (20, 30)


@pytest.mark.slow
@situation("a crash between what the history says and what goes: the next time goes on")
@pytest.mark.parametrize("crash", ["delete_model_version_tag", "delete_model_version", "delete_run"])
def test_a_crash(years: Years, crash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        years.week(number, promoted=number == 1)
    years.client.set_registered_model_alias("multitask", CHALLENGER, "1")
    years.pass_days(60)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, crash, lambda *words: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            years.clean(versions=1, champions=1)
    years.registry = years.again()
    after_run(years.settings, years.config, embedded=False)
    years.clean(versions=1, champions=1, runs=0)
    assert years.numbers() == [1, 3]
    assert [entry.removed for entry in history(years.settings)] == [(), (2,)]
    assert len(years.client.search_runs([years.tracker.experiment], run_view_type=3)) == 2


@situation("retention is no stage's matter: a change of it trains nothing")
def test_no_stage_depends_on_it() -> None:
    params = [param for stage in read_stages(ROOT).values() for param in stage.get("params", [])]
    assert not [param for param in params if param.startswith("retention")]
    assert "retention" in (ROOT / "params.yaml").read_text()


@pytest.mark.slow
@situation("sixty weeks end flat")
def test_sixty_weeks(years: Years) -> None:
    sizes_at: dict[int, int] = {}
    for week in range(1, 61):
        years.week(week, promoted=week % 3 == 1, size=100_000)  # small beside any real one
        years.clean()
        sizes_at[week] = sum(sizes(years.settings).values())
        print(week, line(sizes(years.settings)))
    assert sizes_at[60] <= 1.1 * sizes_at[30]
    assert len(years.numbers()) <= 27
    assert not_none(years.again().champion()).number == 58
    assert len([entry for entry in history(years.settings) if entry.kind == "promotion"]) == 20
    assert examine(years.settings) == []
    years.registry.whole(years.registry.former(55))


@pytest.mark.long
@situation("mtl clean after a real run: the champion's data, package and cache are whole")
def test_a_real_home(downloads: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    make_checkout(folder, downloads)
    assert mtl(folder, "retrain").returncode == 0
    done = mtl(folder, "clean", "--yes")
    assert done.returncode == 0, done.stderr
    assert "nothing is older" in done.stdout
    settings = embedded(folder)
    registry = Registry(settings.mlflow_uri, "multitask", settings.trust)
    registry.whole(registry.get(1))
    assert "unchanged" in mtl(folder, "retrain", "--set", "retention.versions=3").stdout

"""Projects of a user's own: made from the template, true to the mtl that is installed, and brought up to a newer one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from flows.checkout import installed
from flows.checkout.environment import lines, other_packages
from flows.checkout.git import git
from flows.checkout.installed import ARCHIVE, PINS, keep_code, lay_code, pin, refuse_other_stages, stale, unpinned
from flows.checkout.origin import read_origin
from flows.project.create import create, read_answers, update
from flows.project.template import TEMPLATES, repository, versions
from flows.registry.lineage import write_origin
from flows.schedule.deployments import deployments
from flows.settings import load_settings
from mtl.config import read_params
from mtl.config.params import load
from mtl.errors import ConfigError, DataError, MtlError
from tests.conftest import ROOT, _shrink, clean_environment


@pytest.fixture(scope="module", autouse=True)
def _somebody() -> Iterator[None]:
    """Git knows who commits."""
    with pytest.MonkeyPatch.context() as patch:
        for key in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{key}_NAME", "t")
            patch.setenv(f"GIT_{key}_EMAIL", "t@example.com")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `mtl new shop` makes it."""
    folder = tmp_path_factory.mktemp("projects") / "shop"
    assert create(folder) == []
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(made, tmp_path / "shop")


def own_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "unittest", "discover", "--start-directory", "tests"]
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_new_project_is_committed_and_passes_its_own_tests(made: Path) -> None:
    assert git(made, "status", "--porcelain") == b""
    assert not read_origin(made).dirty
    done = own_tests(made)
    assert done.returncode == 0, done.stderr
    config = load(made / "params.yaml")
    assert (config.registry.model, config.registry.experiment) == ("shop", "shop")
    assert load_settings(made).root == made
    first = (made / "params.yaml").read_text(encoding="utf-8").partition("\n")[0]
    assert json.loads((made / first.partition("$schema=")[2]).read_text(encoding="utf-8"))["title"] == "params.yaml"


def test_nothing_of_the_machine_is_in_it(made: Path) -> None:
    names = git(made, "ls-files").decode().split()
    assert {
        "params.yaml",
        "dvc.yaml",
        ".dvc/config",
        ".github/workflows/ci.yaml",
        "Makefile",
        "tests/test_project.py",
    } <= {*names}
    for name in names:
        text = (made / name).read_text()
        assert str(ROOT) not in text, name
        assert str(made.parent) not in text, name
        assert name.endswith(".lock") or "[[" not in text, name


def test_its_stages_are_mtl_s_own_with_one_dep_for_the_code(made: Path) -> None:
    ours, own = (read_params(folder / "dvc.yaml")["stages"] for folder in (ROOT, made))
    for name, stage in ours.items():
        deps = [dep for dep in stage["deps"] if not dep.startswith("mtl/")]
        assert own[name] == stage | {"deps": [f"{PINS}/{name}.sha256", *deps]}, (
            "the template has other stages than dvc.yaml"
        )


@pytest.mark.parametrize("name", ["-shop", "my shop"])
def test_a_name_that_no_model_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name is its model's"):
        create(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "notes.txt").write_text("mine")
    with pytest.raises(MtlError, match="there already"):
        create(tmp_path / "shop")
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["notes.txt"]


def test_in_a_repository_the_commit_is_the_users(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (line,) = create(tmp_path / "2024")  # in YAML a number, and all the same a name
    assert "part of a git repository" in line
    assert not (tmp_path / "2024" / ".git").exists()
    assert load(tmp_path / "2024" / "params.yaml").registry.model == "2024"


def test_outside_a_project_the_way_in_is_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="mtl new NAME makes one"):
        load_settings(tmp_path)
    with pytest.raises(MtlError, match=f"cd {made}"):
        load_settings(made / "data")


# --- the code


@pytest.fixture
def another_mtl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An mtl that is installed elsewhere; its package."""
    site = tmp_path / "site"
    shutil.copytree(installed.PACKAGE, site / "mtl", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "requirements.lock", "params.yaml"):
        shutil.copy2(ROOT / name, site / name)
    monkeypatch.setattr(installed, "PACKAGE", site / "mtl")
    installed._shipped_stages.cache_clear()
    return site / "mtl"


def test_another_mtl_costs_what_its_change_costs(shop: Path, another_mtl: Path) -> None:
    assert stale(shop) == []
    with (another_mtl / "config" / "gate.py").open("a") as file:
        file.write("# of the gate alone\n")
    assert stale(shop) == []
    with (another_mtl / "train" / "loop.py").open("a") as file:
        file.write("# of training\n")
    before = (shop / PINS / "fetch.sha256").read_bytes()
    assert pin(shop) == ["train"]
    assert stale(shop) == []
    assert (shop / PINS / "fetch.sha256").read_bytes() == before
    _, changed = [line for line in git(shop, "diff", "--unified=0").decode().splitlines() if line.startswith("+")]
    assert changed.endswith("  mtl/train/loop.py")


def test_other_stages_than_mtl_s_are_refused(shop: Path, another_mtl: Path) -> None:
    graph = shop / "dvc.yaml"
    graph.write_text(graph.read_text().replace("params: [tasks, model]", "params: [tasks]"))
    with pytest.raises(MtlError, match="package does not have model among its params"):
        refuse_other_stages(shop)
    with (another_mtl / "errors.py").open("a") as file:
        file.write("# of all\n")
    with pytest.raises(MtlError, match="mtl new --update"):
        pin(shop)
    assert git(shop, "status", "--porcelain", PINS) == b""


def test_stages_of_ones_own_are_welcome(shop: Path) -> None:
    graph = shop / "dvc.yaml"
    graph.write_text(graph.read_text() + "  own:\n    cmd: python own.py\n    deps: [outputs/package]\n")
    refuse_other_stages(shop)


def test_a_checkout_of_mtl_has_no_pins() -> None:
    assert (stale(ROOT), pin(ROOT)) == ([], [])


def test_a_version_keeps_the_code_that_made_it(shop: Path, tmp_path: Path) -> None:
    kept = {path.name: path for path in write_origin(read_origin(shop), shop, tmp_path)}
    lay_code(kept[ARCHIVE], shop)
    assert unpinned(shop) == []
    assert not installed.is_project(shop)  # what lies there runs
    (shop / "mtl" / "errors.py").write_text("")
    assert unpinned(shop) == ["mtl/errors.py"]


def test_an_archive_of_code_leads_nowhere_else(shop: Path, tmp_path: Path) -> None:
    for name in ("../params.yaml", "params.yaml"):
        with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
            archive.writestr(name, "seed: 1\n")
        with pytest.raises(DataError):
            lay_code(tmp_path / ARCHIVE, shop)
    (tmp_path / ARCHIVE).write_text("no archive")
    with pytest.raises(DataError, match="cannot be read"):
        lay_code(tmp_path / ARCHIVE, shop)
    assert git(shop, "status", "--porcelain") == b""
    assert keep_code(tmp_path).read_bytes() == keep_code(tmp_path).read_bytes()


def test_packages_that_are_not_the_lock_s_are_said_and_kept(shop: Path, tmp_path: Path) -> None:
    assert other_packages(shop) == {}
    lock = shop / "requirements.lock"
    text = lock.read_text() + "no-such-package==1.0 ; python_version < '3'\nno-such-package==2.0\n"
    lock.write_text(re.sub(r"^pyyaml==\S+", "pyyaml==0.1", text, flags=re.MULTILINE))
    found = other_packages(shop)
    assert found == {"pyyaml": version("pyyaml"), "no-such-package": "absent"}
    assert "pyyaml" in lines(found)[0]
    write_origin(read_origin(shop), shop, tmp_path)
    assert json.loads((tmp_path / "machine.json").read_text())["packages"] == found


# --- a newer template


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Templates of mtl, and one of a later version: a line of CI, of the README and a file are others."""
    folder = shutil.copytree(TEMPLATES, tmp_path / "templates")
    project = shutil.copytree(folder / versions()[-1], folder / "9.0.0") / "project"
    for name, before, after in (
        (".github/workflows/ci.yaml.jinja", "timeout-minutes: 30", "timeout-minutes: 20"),
        ("README.md.jinja", "retrained on schedule, by", "retrained by"),
    ):
        text = (project / name).read_text()
        assert before in text
        (project / name).write_text(text.replace(before, after))
    (project / "CODEOWNERS.jinja").write_text("* @[[ name ]]\n")
    return folder


def test_an_update_merges_and_keeps_what_the_user_did(shop: Path, newer: Path) -> None:
    workflow, params = shop / ".github" / "workflows" / "ci.yaml", shop / "params.yaml"
    workflow.write_text(workflow.read_text() + "      - run: echo mine\n")
    params.write_text(params.read_text().replace("epochs: 4", "epochs: 7"))
    (shop / "deploy.py").unlink()
    (shop / "own.py").write_text("x = 1\n")
    git(shop, "add", "--all")
    git(shop, "commit", "--quiet", "--message", "mine")
    assert update(shop, newer) == []
    assert "timeout-minutes: 20" in workflow.read_text()
    assert "echo mine" in workflow.read_text()
    assert load(params).train.epochs == 7
    assert (shop / "CODEOWNERS").read_text() == "* @shop\n"
    assert not (shop / "deploy.py").exists()
    assert read_answers(shop)["_commit"] == "9.0.0"
    git(shop, "add", "--all")
    git(shop, "commit", "--quiet", "--message", "updated")
    assert update(shop, newer) == []
    assert git(shop, "status", "--porcelain") == b""  # a second time there is nothing to do


def test_changes_that_contradict_are_marked_and_said(shop: Path, newer: Path) -> None:
    readme = shop / "README.md"
    readme.write_text(readme.read_text().replace("retrained on schedule, by", "retrained daily, by"))
    with pytest.raises(MtlError, match="uncommitted changes"):
        update(shop, newer)
    git(shop, "commit", "--quiet", "--all", "--message", "mine")
    assert update(shop, newer) == ["README.md"]
    assert "<<<<<<< before updating" in readme.read_text()
    assert "retrained daily" in readme.read_text()


def test_the_template_is_the_same_commit_everywhere(tmp_path: Path) -> None:
    commits: set[bytes] = set()
    for number in range(2):
        with repository() as address:
            clone = tmp_path / str(number)
            git(tmp_path, "clone", "--quiet", address.removeprefix("git+"), str(clone))
            commits.add(git(clone, "rev-parse", "HEAD"))
            assert git(clone, "tag").decode().split() == versions()
    assert len(commits) == 1


def test_what_mtl_did_not_make_is_not_updated(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="no project that mtl new made"):
        update(tmp_path)
    answers = (shop / ".copier-answers.yml").read_text()
    for before, after in (
        ("git+mtl:template", "https://example.com/other.git"),
        (f'_commit: "{versions()[-1]}"', '_commit: "9.9.9"'),
    ):
        assert before in answers
        (shop / ".copier-answers.yml").write_text(answers.replace(before, after))
        with pytest.raises(MtlError, match="a template that this mtl does not have"):
            update(shop)


# --- the wheel


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as pip lays them."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder / "site")
    return folder / "site"


def mtl(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command of the wheel; no checkout is on its path."""
    environment = clean_environment() | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "flows.cli", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


@pytest.mark.slow
def test_a_wheel_makes_a_project_that_retrains(
    site: Path, tmp_path: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = mtl(site, tmp_path, "status")
    assert done.returncode == 2
    assert "mtl new NAME makes one" in done.stderr
    done = mtl(site, tmp_path, "new", "shop")
    assert done.returncode == 0, done.stderr
    shop = tmp_path / "shop"
    _shrink(shop / "params.yaml", ())
    git(shop, "commit", "--quiet", "--all", "--message", "tiny")
    if any(downloads.iterdir()):
        shutil.copytree(downloads, shop / ".mtl" / "downloads")
    first = mtl(site, shop, "retrain")
    assert first.returncode == 0, first.stderr[-3000:]
    again = mtl(site, shop, "retrain")
    assert "unchanged: code, data and params are those of version 1" in again.stdout, again.stderr[-3000:]
    shown = mtl(site, shop, "lineage", "1").stdout
    assert "mtl as installed then, kept" in shown
    rebuilt = mtl(site, shop, "reproduce", "1")
    assert "version 1: identical" in rebuilt.stdout, rebuilt.stdout + rebuilt.stderr[-3000:]
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    deployed: list[Any] = deployments(
        load(shop / "params.yaml"), "p", source=str(shop), installed=True, work_pool_name="w"
    )
    assert [one.entrypoint for one in deployed] == ["deploy.py:retrain"]

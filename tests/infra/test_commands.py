"""Every command of README and docs is there, with its options and settings, and some test runs it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from flows.cli import app
from mtl.config.params import load
from tests.conftest import ROOT, make_checkout, mtl
from tests.infra.documented import Command, commands, other_programs

COMMANDS = commands()
ROOT_GROUP: Any = get_group(app)
TUTORIAL = "tests/infra/test_commands.py::test_the_page_about_own_data_is_followed"
END_TO_END, STACK = "tests/end_to_end/test_end_to_end.py", "tests/end_to_end/test_stack.py"
RUN_BY = {
    "adopt": TUTORIAL,
    "approve": "tests/flows/test_approval.py::test_yes_no_and_no_answer",
    "backup": "tests/flows/test_restore.py::test_what_was_copied_is_not_copied_again",
    "baselines": "tests/compare/test_baselines.py::test_gains_have_paired_intervals",
    "clean": "tests/daily/test_weeks.py::test_a_real_home",
    "compare": "tests/compare/test_compare.py::test_a_comparison_from_the_command_line",
    "data check": TUTORIAL,
    "data gc": "tests/flows/test_garbage.py::test_versions_keep_their_data_and_the_rest_goes",
    "data init": TUTORIAL,
    "data report": TUTORIAL,
    "data split": TUTORIAL,
    "data sync": "tests/data/test_raw_versions.py::test_a_new_image_is_one_hash_and_one_shard",
    "deploy": "tests/flows/test_work_pools.py::test_a_worker_makes_the_runs",
    "diff": f"{END_TO_END}::test_promotion_by_hand_and_back",
    "doctor": "tests/errors/test_doctor.py::test_the_command_says_so_by_its_exit_code",
    "endpoint": "tests/daily/test_endpoint.py::test_sigterm",
    "history": f"{END_TO_END}::test_promotion_by_hand_and_back",
    "keys": TUTORIAL,
    "lineage": "tests/flows/test_reproduce.py::test_lineage_from_pixels_to_alias",
    "list": f"{END_TO_END}::test_help_and_list_import_nothing_heavy",
    "mend": TUTORIAL,
    "metrics": f"{END_TO_END}::test_promotion_by_hand_and_back",
    "monitor": "tests/flows/test_monitor.py::test_the_command",
    "new": "tests/flows/test_project.py::test_a_wheel_makes_a_project_that_retrains",
    "package": TUTORIAL,
    "predict": f"{STACK}::test_a_bucket_is_predicted_on_the_cluster",
    "promote": f"{END_TO_END}::test_promotion_by_hand_and_back",
    "registry repair": TUTORIAL,
    "relocate": "tests/flows/test_garbage.py::test_versions_keep_their_data_and_the_rest_goes",
    "reproduce": "tests/flows/test_reproduce.py::test_from_a_fresh_clone_it_is_identical",
    "restore": "tests/flows/test_restore.py::test_another_machine_gets_the_same_registry",
    "retrain": TUTORIAL,
    "rollback": f"{END_TO_END}::test_promotion_by_hand_and_back",
    "serve": "tests/flows/test_schedule.py::test_a_schedule_of_one_tick_per_minute_survives_kills",
    "shadow": TUTORIAL,
    "stack down": f"{STACK}::test_what_is_killed_is_started_again",
    "stack status": f"{STACK}::test_what_is_killed_is_started_again",
    "stack up": f"{STACK}::test_a_scheduled_retraining_from_end_to_end",
    "status": f"{END_TO_END}::test_before_the_first_run_there_is_no_champion",
    "upgrade-params": "tests/config/test_upgrades.py::test_a_file_of_0_1_is_valid_afterwards_and_means_the_same",
    "ui": f"{END_TO_END}::test_the_pages_come_up_and_end",
}
"""Command of `mtl` → a test of the file in which it, or what it calls, is run."""
MAKE_RUNS = {
    "attacks": "tests/attacks/conftest.py",
    "audit": ".github/workflows/ci.yaml",
    "bench": "tests/infra/test_benchmarks.py",
    "daily": "tests/daily/conftest.py",
    "deps": "tests/flows/test_dvc.py",
    "docs": ".ci/run",
    "faults": "tests/faults/test_run.py",
    "guard": ".ci/run",
    "help": "tests/infra/test_docs.py",
    "lint": ".ci/run",
    "run": END_TO_END,
    "sbom": ".github/workflows/ci.yaml",
    "setup": "Makefile",
    "soak": "tests/faults/soak.py",
    "stack-test": STACK,
    "test": ".ci/run",
    "test-all": ".ci/run",
    "test-long": "tests/faults/test_points.py",
}
"""Target of make → what runs it, or the same thing."""

MAKEFILES = {"docs/how-to/project.md": ROOT / "flows/project/templates/0.2.0/project/Makefile.jinja"}
"""Page → the Makefile that its commands are of, if it is not this repository's."""
OTHERS_RUN = {
    "cd": "",
    "curl": "tests/daily/test_endpoint.py",
    "docker build": "infra/docker/Dockerfile",  # looked at by `make infra-check`: no test builds an image
    "docker push": "infra/docker/Dockerfile",
    "dvc cache": "tests/daily/test_dvc.py",
    "dvc config": "tests/daily/test_dvc.py",
    "dvc remote": "tests/daily/test_dvc.py",
    "export": "",
    "git add": "",
    "git commit": "",
    "git diff": "",
    "helm install": "tests/infra/test_infra.py",  # rendered by Helm, and checked: no test has a cluster
    "mlflow models": "tests/daily/test_versions.py",
    "pip install": "tests/flows/test_project.py",
    "prefect worker": "tests/flows/test_work_pools.py",
    "source": "",
}
"""What fences call of other programs → the file that runs it; nothing for the shell and git."""


def test_pages_name_commands() -> None:
    assert len(COMMANDS) > 150
    assert {command.words[0] for command in COMMANDS} == {"mtl", "make", "python"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[0] == "mtl"], ids=str)
def test_a_command_is_there_and_run_somewhere(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name, given = understood(command)
    overrides = [value for value in given.get("overrides") or [] if not value.startswith("@.mtl/")]
    if overrides:
        load(Path("params.yaml"), overrides)
    assert not name or name in RUN_BY, "no test is known that runs it: name one in RUN_BY"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[0] == "make"], ids=str)
def test_a_target_is_there_and_run_somewhere(command: Command) -> None:
    makefile = (MAKEFILES.get(command.page) or ROOT / "Makefile").read_text(encoding="utf-8")
    for word in command.words[1:]:
        name, assigned, _ = word.partition("=")
        pattern = rf"^{name} \?=|\$\({name}\)" if assigned else rf"^{re.escape(name)}:"
        assert re.search(pattern, makefile, re.M), word
        assert assigned or (ROOT / MAKE_RUNS[name]).is_file()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[0] == "python"], ids=str)
def test_a_module_to_run_is_there(command: Command) -> None:
    assert importlib.util.find_spec(command.words[2]) is not None


def test_other_programs_are_run_somewhere() -> None:
    assert other_programs() == OTHERS_RUN.keys()
    for program, path in OTHERS_RUN.items():
        assert not path or (ROOT / path).is_file(), program


def test_tests_that_documents_name_are_there() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    named = {*re.findall(r"tests/[\w/]+\.py::\w+", pages), *RUN_BY.values()}
    assert len(named) > 20
    missing = [
        test
        for path, _, name in (test.partition("::") for test in named)
        if not re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.M)
        for test in [f"{path}::{name}"]
    ]
    assert missing == []


def understood(command: Command) -> tuple[str, dict[str, Any]]:
    """The command's name, and what it would be given; nothing is run. Of a group alone the name is empty.

    Raises:
        UsageError: there is no such command, option or choice, or what a fence has lacks something.
    """
    if command.words[1:] == ("--install-completion",):  # acts while it is read: tests/flows/test_command_line.py
        return "", {}
    node, context, words, name = ROOT_GROUP, None, [*command.words[1:]], ""
    while True:
        values = ["1" if re.fullmatch(r"[A-Z][A-Z0-9_]*", word) else word for word in words]
        try:
            context = node.make_context(node.name, values, parent=context)
        except Exception as error:  # typer brings a click of its own: its errors have the names of click's
            kind = type(error).__name__
            if kind in ("NoArgsIsHelpError", "Exit"):
                return "", {}
            if kind in ("MissingParameter", "BadOptionUsage") and not command.whole:
                return name, {}
            raise
        if not hasattr(node, "commands"):
            return name, context.params
        words = [*context._protected_args, *context.args]
        if not words:
            return "", {}
        found, node, words = node.resolve_command(context, words)
        name = f"{name} {found}".strip()


@pytest.mark.parametrize(
    "wrong", ["retrian", "retrain --sett x=1", "data chek", "promote", "retrain --set train.epoch=1"]
)
def test_what_is_not_there_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command("page", ("mtl", *wrong.split()), whole=True)
    with pytest.raises(Exception, match=r"(?i)no such|missing|unknown|no key"):
        test_a_command_is_there_and_run_somewhere(command, monkeypatch)


@pytest.mark.slow
def test_the_page_about_own_data_is_followed(downloads: Path, tmp_path: Path) -> None:
    folder = make_checkout(tmp_path, downloads)
    text = (ROOT / "docs" / "tutorial" / "your-data.md").read_text(encoding="utf-8")
    (images,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    subprocess.run([sys.executable, "-c", images], cwd=folder, check=True)
    for path in sorted(folder.glob("data/digits/*/*.png")):
        if int(path.stem) >= 300:  # a sixth of them, for time's sake
            path.unlink()
    (typed,) = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    more = [
        "mtl data report",
        "mtl keys",
        "mtl package --out model",
        "mtl mend 1",
        "mtl registry repair",
        "mtl --unverified adopt",
    ]
    for line in [*typed.splitlines(), *more]:
        shorter = ["--set", "train.epochs=10"] if line == "mtl retrain" else []  # than is proposed, for time's sake
        done = mtl(folder, *line.split()[1:], *shorter)
        assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert (folder / "model" / "MLmodel").exists()
    for words, said in (
        (["data", "split"], "stratified"),
        (["shadow", "data/digits/1", "--model", "1", "--out", "x"], "one version"),
    ):
        refused = mtl(folder, *words)
        assert refused.returncode != 0
        assert said in refused.stdout + refused.stderr

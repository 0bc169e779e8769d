"""The real flow: Prefect's embedded server, Ray with two workers, DVC, MLflow — at a tiny size.

The tests of this file share one checkout and run in order: each starts from what the one before it left.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from flows.registry.load import registry_of
from tests.conftest import clean_environment, embedded, free_port, mtl
from tests.flows.screen import on_terminal, seen
from tests.flows.test_dvc import FREE
from tests.servers import basic_of

HEAVY = {"torch", "ray", "mlflow", "prefect"}
STEPS = ["start", "fetch", "prepare", "train", "evaluate", "package", "push", "register", "gate", "promote"]
OUR_LINE = re.compile(
    r"(start|fetch|prepare|train|evaluate|package|push|register|gate|promote|log|decision|weights|report|took|next)\b|"
    r"not promoted|promoted|registered as|trained again|version \d| {6,}|[┏┃┡│└]"
)
"""How lines of `mtl retrain` begin that are not some library's."""
DRAWN = ("✓", "task ", *(f"{task} " for task in ("count", "digit", "image", "objects", "regions", "species")))
"""And those of its display."""


def status(checkout: Path) -> dict:  # type: ignore[type-arg]
    done = mtl(checkout, "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_help_and_list_import_nothing_heavy(checkout: Path) -> None:
    script = "import sys, flows.cli, mtl.config.choices as c; c.choices(); print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, check=True)
    assert not HEAVY & set(eval(done.stdout, {}))  # noqa: S307  # our own output
    found = json.loads(mtl(checkout, "list", "--json").stdout)
    assert {"tasks", "backbones", "sharings", "weightings", "aggregators", "sources"} <= set(found)


def test_before_the_first_run_there_is_no_champion(checkout: Path) -> None:
    found = status(checkout)
    assert sum(found.pop("bytes").values()) > 0
    assert found == {"champion": None, "challenger": None, "last_run": None}


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("train.epoch=2", "did you mean 'epochs'"),
        ("tasks.digit.type=clasification", "unknown type clasification"),
        ("train.accumulate=7", "multiple"),
    ],
)
def test_wrong_params_stop_before_anything_starts(checkout: Path, override: str, fragment: str) -> None:
    done = mtl(checkout, "retrain", "--set", override)
    assert done.returncode == 2
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr
    assert status(checkout)["champion"] is None


def test_the_first_run_ends_with_a_champion(checkout: Path) -> None:
    done = mtl(checkout, "retrain")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "promoted (no champion yet)" in done.stdout
    lines = (done.stdout + done.stderr).splitlines()
    assert [line for line in lines if line and not OUR_LINE.match(line)] == []
    (log,) = (checkout / ".mtl" / "logs").glob("retrain-*.log")
    assert f"log      .mtl/logs/{log.name}" in lines
    assert "Starting temporary server" in log.read_text() and "Running stage 'train'" in log.read_text()
    found = status(checkout)
    champion = found["champion"]
    assert champion["version"] == 1
    assert len(champion["fingerprint"]) == 64
    assert len(champion["weights_sha256"]) == 64
    assert champion["data"].endswith(".dir")
    assert found["last_run"]["state"] == "Completed"
    primaries = {"digit": "accuracy", "species": "accuracy", "objects": "map50", "regions": "miou", "count": "mae"}
    for task, metric in {**primaries, "image": "psnr"}.items():
        assert isinstance(champion["metrics"][task][metric], float)
    page = (checkout / ".mtl" / "reports" / "version-1.html").read_text()
    drawn = json.loads((checkout / "outputs" / "evaluate" / "pictures.json").read_text())["pictures"]
    assert {one["kind"] for one in drawn} == {"good", "bad"}
    assert page.count("data:image/png;base64,") == sum(1 + (one["beside"] is not None) for one in drawn)
    assert champion["weights_sha256"] in page
    assert any((checkout / ".mtl" / "dvc-remote").rglob("*"))
    figures = mtl(checkout, "metrics").stdout
    assert "mtl_champion_version 1.0" in figures
    assert 'mtl_last_run_state{state="Completed"} 1.0' in figures
    assert 'mtl_task_metric{metric="accuracy",task="digit"}' in figures
    kept = (checkout / ".mtl" / "metrics.prom").read_text()
    assert "mtl_last_success_timestamp_seconds" in kept
    assert "mtl_champion_since_timestamp_seconds" in kept


def test_again_does_nothing_and_says_why(checkout: Path) -> None:
    kept = {name: (checkout / name).read_text() for name, _, _ in FREE.values()}
    for name, before, after in FREE.values():
        (checkout / name).write_text(kept[name].replace(before, after))
    done = mtl(checkout, "retrain")
    for name, text in kept.items():
        (checkout / name).write_text(text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("unchanged: code, data and params are those of version 1")
    assert "stage" not in done.stdout
    assert status(checkout)["champion"]["version"] == 1


@pytest.mark.slow
def test_from_scratch_gives_the_same_weights_bit_for_bit(retrained: Path, tmp_path: Path) -> None:
    checkout = retrained
    before = status(checkout)["champion"]
    command = [sys.executable, "-m", "flows.cli", "retrain", "--force"]
    code, written = on_terminal(command, checkout, clean_environment() | {"PYTHONPATH": str(checkout)})
    shown = seen(written)
    assert code == 0, "\n".join(shown)
    assert any(line.startswith("trained again from scratch: the weights are identical") for line in shown)
    assert [line.split()[1] for line in shown if line.startswith("✓")] == STEPS
    assert any(line.startswith("task") and line.endswith("champion 1") for line in shown)
    (digit,) = [line.split() for line in shown if line.startswith("digit") and "accuracy" in line]
    assert digit[2] == digit[3]  # the same training
    assert [line for line in shown if line and not (OUR_LINE.match(line) or line.startswith(DRAWN))] == []
    assert status(checkout)["champion"] == before
    registry = registry_of(embedded(checkout), "multitask")
    registry.lineage(registry.get(1), tmp_path)  # what was signed of it is as it was


@pytest.mark.slow
def test_dvc_users_find_their_commands(retrained: Path) -> None:
    environment = clean_environment() | {"PYTHONPATH": str(retrained), "DVC_NO_ANALYTICS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    author = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=retrained, env=environment | author, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc = (sys.executable, "-m", "dvc")
    assert "up to date" in run(*dvc, "status")
    run(*dvc, "plots", "show", "--json")
    run("git", "add", "dvc.lock")
    run("git", "commit", "-qm", "a run")
    # An experiment that only judges again, with other resamples: what changed is shown, what did not is not run.
    lines = run(*dvc, "exp", "run", "-S", "evaluate.num_resamples=120", "-S", "evaluate.confidence=0.9")
    assert "Running stage 'evaluate'" in lines
    assert "Running stage 'train'" not in lines
    assert json.loads(run(*dvc, "params", "diff", "--json"))["params.yaml"]["evaluate.num_resamples"]["new"] == 120
    assert json.loads(run(*dvc, "metrics", "diff", "--all", "--json"))["outputs/evaluate/metrics.json"][
        "digit.accuracy"
    ]
    run("git", "reset", "--hard", "-q", "HEAD~1")
    run("git", "checkout", "HEAD@{1}", "--", "dvc.lock")
    run("git", "reset", "-q")
    run(*dvc, "checkout", "--force")
    assert "up to date" in run(*dvc, "status")


def test_ctrl_c_stops_all_and_the_next_run_goes_on(checkout: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "retrain", "--set", "train.epochs=6"]
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if "train: step 10/" in line:
            break
    else:
        pytest.fail(seen[-3000:])
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    process.stdout.read()
    process.wait(60)
    assert time.monotonic() - began < 45
    assert process.returncode not in (0, None)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, [p.cmdline() for p in alive]
    assert status(checkout)["champion"]["version"] == 1
    done = mtl(checkout, "retrain", "--set", "train.epochs=6")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "train: goes on from step" in done.stdout + done.stderr
    found = status(checkout)
    assert {found["champion"]["version"], (found["challenger"] or {}).get("version")} >= {2} or found["champion"][
        "version"
    ] == 2


def test_promotion_by_hand_and_back(checkout: Path, tmp_path: Path) -> None:
    def changes() -> list[dict]:  # type: ignore[type-arg]
        return json.loads(mtl(checkout, "history", "--json").stdout)

    before, present = changes(), status(checkout)["champion"]["version"]
    assert before[-1]["to"] == present
    assert 'class="pair"' in (checkout / ".mtl" / "reports" / "version-2.html").read_text()
    other = 3 - present
    for words, fragment in (
        (("promote", "99"), "has no version 99"),
        (("promote", str(present)), "is champion already"),
        (("promote", str(other), "--override"), "needs a reason"),
        (("rollback", "--to", "99"), "was never champion"),
    ):
        done = mtl(checkout, *words)
        assert done.returncode == 2, done.stdout
        assert fragment in done.stderr
    done = mtl(checkout, "promote", str(other), "--override", "--why", "a test")
    assert done.returncode == 0, done.stderr
    assert status(checkout)["champion"]["version"] == other
    done = mtl(checkout, "rollback", "--why", "it was one")
    assert done.returncode == 0, done.stderr
    assert status(checkout)["champion"]["version"] == present
    after = changes()
    assert after[: len(before)] == before
    assert [(e["kind"], e["from"], e["to"]) for e in after[len(before) :]] == [
        ("promotion", present, other),
        ("rollback", other, present),
    ]
    assert after[-1]["why"] == "it was one"
    assert "it was one" in mtl(checkout, "history", "--html", str(tmp_path / "history.html")).stdout
    page = (tmp_path / "history.html").read_text()
    assert "it was one" in page and page.count("<svg") >= 3
    # What is registered stays unchanged: a rollback is not undone by the next tick.
    assert "unchanged" in mtl(checkout, "retrain").stdout
    assert status(checkout)["champion"]["version"] == present


def test_a_busy_port_is_named(checkout: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = mtl(checkout, "ui", "--mlflow-port", str(port))
    assert done.returncode == 2
    assert f"port {port}, wanted for MLflow, is busy" in done.stderr
    assert "--mlflow-port" in done.stderr


def test_the_pages_come_up_and_end(checkout: Path) -> None:
    ports = [free_port(), free_port(), free_port()]
    options = [f"--{name}={port}" for name, port in zip(("mlflow-port", "prefect-port", "port"), ports, strict=True)]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "ui", *options],
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if line.startswith("Ctrl-C"):
            break
    family = psutil.Process(process.pid).children(recursive=True)

    def known(port: int, path: str) -> urllib.request.Request:
        headers = {"Authorization": basic_of(checkout / ".mtl")}
        return urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers=headers)

    try:
        for port in ports:
            assert f"http://127.0.0.1:{port}/login#" in lines
            with urllib.request.urlopen(known(port, ""), timeout=20) as page:
                assert b"<html" in page.read().lower()
        with urllib.request.urlopen(known(ports[2], ""), timeout=20) as page:
            assert "There is no version yet" not in page.read().decode()
        # The Prefect page must ask the server that it came from, not the usual port.
        with urllib.request.urlopen(known(ports[1], "ui-settings"), timeout=20) as settings:
            assert json.load(settings)["api_url"] == f"http://127.0.0.1:{ports[1]}/api"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, [p.cmdline() for p in alive]


def test_outside_a_checkout_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "status"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not the root of a project" in done.stderr

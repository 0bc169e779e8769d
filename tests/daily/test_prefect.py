"""One Prefect server for several projects, and whatever a person does in its page."""

from __future__ import annotations

import shutil
import sys
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flows.checkout.project import project_of
from flows.schedule.ticks import next_ticks, refuse_crons
from flows.settings import Settings
from mtl.config.params import load
from mtl.config.schedule import ScheduleConfig
from mtl.errors import ConfigError
from tests import servers
from tests.conftest import ROOT, clean_environment, mtl, set_params
from tests.flows.watch import Watched

SILENT = 12
RUNNER = f"import flows.schedule.deployments as d; d.SILENT_SECONDS = {SILENT}; from flows.schedule.runner import run_schedule; run_schedule()"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A team's."""
    with servers.running(servers.prefect_server(tmp_path_factory.mktemp("prefect"))) as running:
        yield running


@pytest.fixture
def checkouts(tmp_path: Path) -> list[Path]:
    """Two checkouts of the same project, each with a home and a schedule of its own."""
    found: list[Path] = []
    for number in (1, 2):
        root = tmp_path / f"checkout-{number}"
        root.mkdir()
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, root / name)
        for name in ("flows", "mtl"):
            (root / name).symlink_to(ROOT / name)
        set_params(root / "params.yaml", f"schedule.cron='0 {number} * * *'", "schedule.catch_up=none")
        found.append(root)
    return found


@contextmanager
def runner(root: Path, server: servers.Server) -> Iterator[Watched]:
    """What `mtl serve` keeps alive."""
    own = {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": server.address, "MTL_HOME": str(root / ".mtl")}
    watched = Watched([sys.executable, "-c", RUNNER], root, clean_environment() | own)
    try:
        yield watched
    finally:
        watched.end(seconds=60)


def ask(server: servers.Server, path: str, body: Any) -> Any:
    """What the server says; while its database is locked it says 503."""
    for _ in range(20):
        try:
            return servers.ask(f"{server.address}/{path}", body=body)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(1)
    raise AssertionError(f"{path} is not to be had")


def deployments(server: servers.Server) -> dict[str, Any]:
    """By name."""
    return {one["name"]: one for one in ask(server, "deployments/filter", {})}


def wait(what: Callable[[], Any], watched: Watched, seconds: float = 120) -> Any:
    """What comes true within some time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "".join(line for line in list(watched.lines.queue) if line)[-3000:]
        time.sleep(0.5)
    return found


def name_of(root: Path) -> str:
    settings = Settings(root, root / ".mtl", "", None)
    return f"scheduled-{project_of(settings, load(root / 'params.yaml'))}"


def crons(server: servers.Server) -> dict[str, str]:
    return {name: one["schedules"][0]["schedule"]["cron"] for name, one in deployments(server).items()}


@pytest.mark.slow
@pytest.mark.daily(situation="two checkouts on one Prefect server")
@pytest.mark.daily(situation="a schedule that was paused in the page, and a restart of mtl serve")
@pytest.mark.daily(situation="another cron in params.yaml while mtl serve runs")
def test_each_checkout_has_its_own_schedule_and_keeps_its_state(server: servers.Server, checkouts: list[Path]) -> None:
    first, second = checkouts
    with runner(first, server) as one, runner(second, server) as two:
        wait(lambda: len(deployments(server)) == 2, two)
        assert crons(server) == {name_of(first): "0 1 * * *", name_of(second): "0 2 * * *"}
        wait(lambda: (first / ".mtl" / "applied.json").exists(), one)
        known = deployments(server)[name_of(first)]
        set_params(first / "params.yaml", "schedule.cron='17 4 */2 * 1'")
        wait(lambda: crons(server)[name_of(first)] == "17 4 */2 * 1", one)
        made = wait(lambda: ticks_made(server, known["id"], hour=4), one)
        told = next_ticks(load(first / "params.yaml").schedule, datetime.now(UTC), count=len(made))
        assert made == told
        set_params(first / "params.yaml", "schedule.cron='0 0 31 2 *'")
        one.until("the schedule stays as it is", 60)
        assert crons(server)[name_of(first)] == "17 4 */2 * 1"
        set_params(first / "params.yaml", "schedule.cron='0 5 * * *'")
        wait(lambda: crons(server)[name_of(first)] == "0 5 * * *", one)
        ask(server, f"deployments/{known['id']}/pause_deployment", {})
        other = deployments(server)[name_of(second)]
        switch = f"{server.address}/deployments/{other['id']}/schedules/{other['schedules'][0]['id']}"
        patch(switch, {"active": False})
    for root in checkouts:
        before = deployments(server)[name_of(root)]["updated"]
        with runner(root, server) as again:
            wait(lambda root=root, before=before: deployments(server)[name_of(root)]["updated"] != before, again)
    after = deployments(server)
    assert after[name_of(first)]["paused"] or not after[name_of(first)]["schedules"][0]["active"]
    assert not after[name_of(second)]["schedules"][0]["active"]
    assert len(after) == 2


def ticks_made(server: servers.Server, deployment: str, hour: int) -> list[datetime]:
    """Of a deployment, those at an hour: Prefect has planned them."""
    body = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 50}
    times = [datetime.fromisoformat(run["expected_start_time"]) for run in ask(server, "flow_runs/filter", body)]
    return [time for time in times if time.astimezone(ZoneInfo("Europe/London")).hour == hour]


def patch(url: str, body: dict[str, Any]) -> None:
    import httpx

    httpx.patch(url, json=body, timeout=30).raise_for_status()


@pytest.mark.slow
@pytest.mark.daily(situation="somebody else's flow without heartbeats on the same Prefect server")
def test_silent_runs_of_others_are_left_alone(server: servers.Server, checkouts: list[Path]) -> None:
    root = checkouts[0]
    with runner(root, server) as watched:
        project = name_of(root).removeprefix("scheduled-")
        wait(lambda: (root / ".mtl" / "applied.json").exists(), watched)
        ours, foreign = (running(server, tags) for tags in (["mtl", f"mtl:{project}"], ["team-b"]))
        wait(lambda: state(server, ours) == "CRASHED", watched, seconds=150)
        assert state(server, foreign) == "RUNNING"


def running(server: servers.Server, tags: list[str]) -> str:
    """A flow run that has had a heartbeat, and will have no other."""
    flow = ask(server, "flows/", {"name": "retrain"})
    run = ask(server, "flow_runs/", {"flow_id": flow["id"], "tags": tags, "state": {"type": "RUNNING"}})
    related = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags]
    event = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
        "related": related,
        "id": str(uuid.uuid4()),
    }
    ask(server, "events", [event])
    return str(run["id"])


def state(server: servers.Server, run: str) -> str:
    (found,) = ask(server, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    return str(found["state_type"])


@pytest.mark.daily(situation="a cron that croniter and others read differently")
@pytest.mark.parametrize(
    ("cron", "ticks"),
    [
        ("0 3 */2 * 1", ["2026-03-03T03:00", "2026-03-05T03:00", "2026-03-07T03:00"]),  # or Mondays: Prefect's way
        ("30 1 28-30 3 *", ["2026-03-28T01:30", "2026-03-29T00:30", "2026-03-30T01:30"]),  # an hour that is not there
        ("0 3 * * L5", ["2026-03-27T03:00", "2026-04-24T03:00", "2026-05-29T03:00"]),
    ],
)
def test_what_is_announced_is_what_prefect_makes(cron: str, ticks: list[str]) -> None:
    schedule = ScheduleConfig(cron=cron, timezone="Europe/London", active=True, overlap="skip")
    found = next_ticks(schedule, datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert [f"{tick:%Y-%m-%dT%H:%M}" for tick in found] == ticks


@pytest.mark.daily(situation="a cron that Prefect cannot keep")
@pytest.mark.parametrize("cron", ["0 3 * * 5L", "0 3 31 2 *", "61 * * * *", "R * * * *"])
def test_what_the_runner_cannot_run_is_refused_at_the_start(cron: str, tmp_path: Path) -> None:
    for key in ("schedule.cron", "monitor.cron"):
        config = load(ROOT / "params.yaml", [f"{key}='{cron}'"])
        with pytest.raises(ConfigError, match=f"cannot keep {key}"):
            refuse_crons(config)


@pytest.mark.daily(situation="a home that moves, and a copy of one")
def test_a_moved_project_keeps_its_name_and_a_copy_does_not(tmp_path: Path) -> None:
    def named(home: Path) -> str:
        return project_of(Settings(ROOT, home, "", None), load(ROOT / "params.yaml"))

    (tmp_path / "a").mkdir()
    first = named(tmp_path / "a")
    assert named(tmp_path / "a") == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert named(tmp_path / "b") == first
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert named(tmp_path / "c") != first
    assert named(tmp_path / "b") == first


@pytest.mark.slow
@pytest.mark.daily(situation="a cron that Prefect cannot keep")
def test_mtl_serve_says_so_before_it_starts_anything(checkouts: list[Path]) -> None:
    set_params(checkouts[0] / "params.yaml", "schedule.cron='0 3 * * 5L'")
    done = mtl(checkouts[0], "serve", PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert "5L" in done.stderr and "schedule.cron" in done.stderr
    assert "Prefect  http" not in done.stdout

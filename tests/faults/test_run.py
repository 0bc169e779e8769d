"""The matrix itself: its table is there after each point, whatever a point does, and can be gone on with."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from mtl.errors import ConfigError
from tests.faults import lab, run
from tests.faults.points import Point
from tests.servers import Server

SURVIVED = lab.Result("a", "flow", True, True, "the run itself", True, 1, 1, 1, 0, 1.0)


def test_a_failing_check_is_a_row_and_the_table_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [Point("a", "flow"), Point("b", "flow"), Point("c", "flow")]
    asked: list[str] = []

    def check(self: lab.Lab, point: Point, servers: object = None) -> lab.Result:
        asked.append(point.name)
        if asked == ["a", "b"]:
            raise RuntimeError("the registry is out of reach")
        if asked == ["a", "b", "c"]:
            raise KeyboardInterrupt
        return lab.Result(point.name, "flow", True, True, "the run itself", True, 1, 1, 1, 0, 1.0)

    monkeypatch.setattr(run, "POINTS", points)
    monkeypatch.setattr(run, "SERVERS", [])
    for name in ("open", "close"):
        monkeypatch.setattr(lab.Lab, name, lambda self: None)
    monkeypatch.setattr(lab.Lab, "check", check)
    monkeypatch.setattr(Server, "start", lambda self: self)
    out = tmp_path / "faults.json"
    monkeypatch.setattr(sys, "argv", ["run", "--out", str(out)])
    with pytest.raises(KeyboardInterrupt):
        run.main()
    rows = json.loads(out.read_text())["points"]
    assert [(row["name"], row["survived"]) for row in rows] == [("a", True), ("b", False)]
    assert "the registry is out of reach" in rows[1]["note"]
    monkeypatch.setattr(sys, "argv", ["run", "--out", str(out), "--go-on"])
    assert run.main() == 0
    assert asked == ["a", "b", "c", "b", "c"]
    assert len(json.loads(out.read_text())["points"]) == 3


def test_a_table_of_another_commit_is_not_gone_on_with(tmp_path: Path) -> None:
    run.Table(tmp_path / "faults.json", go_on=False).add(SURVIVED)
    assert run.Table(tmp_path / "faults.json", go_on=True).has(Point("a", "flow"))
    text = (tmp_path / "faults.json").read_text()
    (tmp_path / "faults.json").write_text(text.replace('"commit": "', '"commit": "0'))
    with pytest.raises(ConfigError, match="another commit"):
        run.Table(tmp_path / "faults.json", go_on=True)


@pytest.mark.skipif(sys.platform != "linux", reason="setpriv")
def test_a_restarted_server_outlives_the_run_that_killed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres is told to end when the thread that started it ends, not when the process does."""
    monkeypatch.setattr(lab, "AWAY", 0.0)
    server = Server(["setpriv", "--pdeathsig", "KILL", "sleep", "60"], tmp_path, "", lambda: True).start()
    before = server.process
    point = Point("a", "database", line="step 10", process="server:postgres")
    command = (sys.executable, "-c", "print('step 10', flush=True); import time; time.sleep(1)")
    try:
        found = lab.Run(tmp_path, {}, point, {"postgres": server}, tmp_path / "mark", command)
        assert found.wait() == 0
        assert found.left() == 0
        assert server.process is not None and server.process is not before
        assert before is not None and before.returncode == -signal.SIGKILL
        time.sleep(0.5)
        assert server.process.poll() is None
    finally:
        server.stop()

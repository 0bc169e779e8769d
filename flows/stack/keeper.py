"""One process keeps the servers of a stack: `up` starts it, `down` ends it, `status` asks the servers."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from flows.processes.supervisor import Service, supervise
from flows.processes.ui import end_with_parent
from flows.run_log import show_lines
from flows.settings import DEFAULTS
from flows.stack.plan import ENVIRONMENT, SECTION, Plan, make_plan, read_plan
from flows.stack.servers import Server, servers
from mtl.errors import BusyError, MtlError

KEEPER, LOG = "keeper.json", "keeper.log"
START_SECONDS = 180.0
STOP_SECONDS = 120.0


def up(folder: Path, nodes: int) -> Plan:
    """Start what is missing, and wait until everything answers.

    Raises:
        BusyError: it runs with another number of nodes.
        MtlError: a server does not start.
    """
    running, known = _keeper(folder)
    plan = make_plan(folder)
    wanted = servers(plan, nodes)
    if running is None:
        log = (folder / LOG).open("ab")
        command = [sys.executable, "-m", "flows.stack.keeper", str(folder), str(nodes)]
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        running = psutil.Process(process.pid)
        facts = {"pid": process.pid, "created": running.create_time(), "nodes": nodes}
        (folder / KEEPER).write_text(json.dumps(facts), encoding="utf-8")
    elif known != nodes:
        raise BusyError("the stack runs already", found=f"{known} Ray nodes", fix="mtl stack down first")
    deadline = time.monotonic() + START_SECONDS
    for server in wanted:
        while not server.answers():
            if not running.is_running() or running.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
                tail = "\n".join(_tail(path) for path in (folder / LOG, server.folder / "server.log"))
                raise MtlError(f"{server.name} does not answer", found=tail.strip(), fix=f"see {folder}/*/server.log")
            time.sleep(0.5)
    return plan


def down(folder: Path) -> bool:
    """End all servers, and wait until they are gone; whether any ran. Their data stay."""
    keeper, _ = _keeper(folder)
    if keeper is None:
        return False
    family = [keeper, *keeper.children(recursive=True)]
    keeper.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    (folder / KEEPER).unlink(missing_ok=True)
    return True


def status(folder: Path) -> dict[str, Any]:
    """Every server, where it is and whether it answers.

    Raises:
        MtlError: there was never a stack here.
    """
    plan = read_plan(folder)
    if plan is None:
        raise MtlError("there is no stack here", found=f"nothing in {folder}", fix="mtl stack up")
    keeper, nodes = _keeper(folder)
    found = [{"name": s.name, "address": s.address, "up": s.answers()} for s in servers(plan, nodes)]
    return {
        "keeper": keeper.pid if keeper else None,
        "servers": found,
        "environment": str(folder / ENVIRONMENT),
        "cluster": str(folder / SECTION),
    }


def _keeper(folder: Path) -> tuple[psutil.Process | None, int]:
    """The process that keeps a stack, if it lives (a number that was given to another since is not it), and of how many Ray nodes."""
    try:
        facts = json.loads((folder / KEEPER).read_text(encoding="utf-8"))
        process = psutil.Process(facts["pid"])
        same = abs(process.create_time() - facts["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
        return (process, facts["nodes"]) if same else (None, 1)
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None, 1


def _tail(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-1500:] if path.exists() else ""


def _service(server: Server) -> Service:
    """A server as the supervisor keeps it; its lines go to its own file."""

    def start() -> subprocess.Popen[bytes]:
        with (server.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                server.command,
                cwd=server.folder,
                env={**DEFAULTS, **os.environ, **server.environment},
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        if server.furnish:  # others need it: they wait
            deadline = time.monotonic() + START_SECONDS
            while not server.answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    return process
                time.sleep(0.3)
            server.furnish()
        return process

    return Service(server.name, start, stop_signal=server.stop_signal)


def run_servers(folder: Path, nodes: int) -> int:
    """Keep the servers until this process is told to end."""
    show_lines().setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    plan = read_plan(folder)
    assert plan is not None, "`up` writes it before it starts this process"
    with contextlib.suppress(KeyboardInterrupt):
        return supervise([_service(server) for server in servers(plan, nodes)])
    return 0


if __name__ == "__main__":
    sys.exit(run_servers(Path(sys.argv[1]), int(sys.argv[2])))

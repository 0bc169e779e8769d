"""What a process that was killed leaves behind: it is known, since every process writes down what it has before it has it.

MTL_HOME/processes has a record for each process that works (its temporary folder, its copy of the checkout, its runs in
MLflow and Prefect, the Prefect server that it embeds) and beside it a lock that the process holds as long as it lives,
however it ends. A record whose lock is free is of a process that is gone: what it names is cleared, and nothing else is.
Records of other machines are left to these.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flows.checkout.run_records import LAST_RUN, LastRun, ProcessRecord, read_last_run, read_process
from flows.settings import Settings
from mtl.errors import DataError

_LOG = logging.getLogger(__name__)
FOLDER = "processes"
PREFIX = "mtl-"
"""Of temporary folders."""
GONE = "its process was killed, or the machine went down"
DAY_SECONDS = 86400
SERVER = "prefect.server.api.server:create_app"
"""Of the command of a Prefect server."""
UNFINISHED = {"packages": ".new-*", "downloads": "tmp*"}
"""Folders of the home in which something may be half written, and what it is called there."""


@dataclass
class Note:
    """The record of this process."""

    path: Path
    content: ProcessRecord = field(default_factory=ProcessRecord)

    @property
    def name(self) -> str:
        """Of the process."""
        return self.path.stem

    def add(
        self, *, folders: Sequence[str] | None = None, mlflow_run: str | None = None, flow_run: str | None = None
    ) -> None:
        """Write down something more, before it is there.

        Args:
            folders: of the home.
        """
        more = {"folders": folders and tuple(folders), "mlflow_run": mlflow_run, "flow_run": flow_run}
        update = {key: value for key, value in more.items() if value is not None}
        self.content = self.content.model_copy(update=update)
        self.content.write(self.path)


@contextlib.contextmanager
def noted(settings: Settings, lock: str = "") -> Generator[Note]:
    """Write down that this process works; its temporary files are in a folder of its own.

    Args:
        lock: of MTL_HOME/locks, which it holds.
    """
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    note = Note(folder / f"{uuid.uuid4().hex[:12]}.json")
    with FileLock(note.path.with_suffix(".lock")):
        scratch = tempfile.mkdtemp(prefix=PREFIX)
        began = datetime.now(UTC).isoformat(timespec="seconds")
        folders = (f"workspaces/{lock}",) if lock else ()
        note.content = ProcessRecord(
            host=platform.node(),
            pid=os.getpid(),
            began=began,
            lock=lock,
            folders=folders,
            scratch=scratch,
            servers=_embedded(),
        )
        note.content.write(note.path)
        try:
            with _temporary(scratch):
                yield note
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            note.path.unlink(missing_ok=True)
    note.path.with_suffix(".lock").unlink(missing_ok=True)


@contextlib.contextmanager
def _temporary(folder: str) -> Generator[None]:
    """Let this process, and those that it starts, make their temporary files in a folder."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        os.environ.pop("TMPDIR")
        if variable is not None:
            os.environ["TMPDIR"] = variable


def is_gone(settings: Settings, name: str) -> bool:
    """Whether the process of a record of this machine is gone."""
    path = settings.home / FOLDER / f"{name}.json"
    if not path.exists():
        return True
    if read_process(path).host != platform.node():
        return False
    with _dead(path) as dead:
        return dead


def clear(settings: Settings, *, prefect: bool, level: int = logging.INFO) -> None:
    """Clear what processes of this home and machine left that are gone.

    Args:
        prefect: whether there is a server to which it can be said; else that waits for the next time.
        level: of its lines.
    """
    for path in sorted((settings.home / FOLDER).glob("*.json")):
        record = read_process(path)
        if record.host != platform.node():
            continue
        with _dead(path) as dead:
            if dead:
                _clear(settings, path, record, prefect=prefect, level=level)
    for folder, pattern in UNFINISHED.items():
        for path in (settings.home / folder).glob(pattern):
            if time.time() - path.lstat().st_mtime > DAY_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _clear(settings: Settings, path: Path, record: ProcessRecord, *, prefect: bool, level: int) -> None:
    """What one record names."""
    what = f"process {record.pid} of {record.began} was killed"
    scratch = Path(record.scratch or "-")
    if scratch.name.startswith(PREFIX) and _own(scratch):
        shutil.rmtree(scratch, ignore_errors=True)
    with _free(settings, record.lock) as free:
        for name in record.folders if free else ():
            folder = (settings.home / name).resolve()
            if folder != settings.home and folder.is_relative_to(settings.home):
                shutil.rmtree(folder, ignore_errors=True)
    _end_servers(record.servers)
    last = _last_run(settings)
    if last is not None and last.process == path.stem and last.state == "Running":
        _crashed(last).write(settings.home / LAST_RUN)
    untold = record.flow_run
    try:
        if run := record.mlflow_run:
            _end_mlflow_run(settings, run, {read_process(other).mlflow_run for other in _living(settings, but=path)})
        if untold and prefect:
            _end_flow_run(untold)
            untold = None
    except Exception as error:  # Prefect's and MLflow's own kinds: the next command tries again
        _LOG.log(
            level,
            f"{what}: not all that it left could be cleared ({(str(error) or type(error).__name__).splitlines()[0]})",
        )
        return
    if untold:  # nobody to tell it to yet
        ProcessRecord(host=record.host, pid=record.pid, began=record.began, flow_run=untold).write(path)
        return
    path.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)
    _LOG.log(level, f"{what}: what it left was cleared")


def _last_run(settings: Settings) -> LastRun | None:
    with contextlib.suppress(DataError):  # of a full disk
        return read_last_run(settings.home)
    return None


def _embedded() -> tuple[tuple[int, float], ...]:
    """Prefect's servers that this process has started, as Prefect does for a flow that has none: number and birth of each."""
    import psutil

    found: list[tuple[int, float]] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # gone
            if SERVER in child.cmdline():
                found.append((child.pid, child.create_time()))
    return tuple(found)


def _end_servers(known: tuple[tuple[int, float], ...]) -> None:
    """They end with their flow, but not with one that is killed."""
    import psutil

    for number, born in known:
        with contextlib.suppress(psutil.Error):  # gone, or somebody else's
            process = psutil.Process(number)
            if process.create_time() == born:
                process.terminate()
                if psutil.wait_procs([process], timeout=10)[1]:
                    process.kill()


def as_it_is(settings: Settings, last: LastRun) -> LastRun:
    """The record of the last run; one that says that it runs, though its process is gone, says what became of it."""
    if last.state != "Running" or last.process is None or not is_gone(settings, last.process):
        return last
    return _crashed(last)


def _crashed(last: LastRun) -> LastRun:
    return last.model_copy(update={"state": "Crashed", "reason": GONE, "ended": last.ended or last.started})


def _end_mlflow_run(settings: Settings, run: str, living: Collection[str | None]) -> None:
    """Mark a run of MLflow, unless a living process goes on with it."""
    from mtl.registry.tracking import connect

    client = connect(settings.mlflow_uri)
    if run not in living and client.get_run(run).info.status == "RUNNING":
        client.set_terminated(run, "KILLED")


def _living(settings: Settings, *, but: Path) -> Iterator[Path]:
    """Records of this home whose process is not gone, as far as this machine can tell."""
    for path in (settings.home / FOLDER).glob("*.json"):
        if path != but and not is_gone(settings, path.stem):
            yield path


def _end_flow_run(run: str) -> None:
    """Mark a flow run of Prefect, and its steps, unless they have ended."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter.model_validate({"id": {"any_": [run]}})
        try:
            found = client.read_flow_run(uuid.UUID(run))
        except ObjectNotFound:
            return
        for step in client.read_task_runs(flow_run_filter=wanted):
            if step.state is not None and not step.state.is_final():
                client.set_task_run_state(step.id, Crashed(message=GONE), force=True)
        if found.state is not None and not found.state.is_final():
            client.set_flow_run_state(found.id, Crashed(message=GONE), force=True)


@contextlib.contextmanager
def _dead(path: Path) -> Generator[bool]:
    """Whether the process of a record is gone; its lock is held meanwhile."""
    with _try(path.with_suffix(".lock")) as free:
        yield free


@contextlib.contextmanager
def _free(settings: Settings, name: str) -> Generator[bool]:
    """Whether a lock of the home is free, and nobody goes on in what it guards; it is held meanwhile."""
    if not name:
        yield True
        return
    with _try(settings.home / "locks" / f"{name}.lock") as free:
        yield free


@contextlib.contextmanager
def _try(path: Path) -> Generator[bool]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _own(path: Path) -> bool:
    try:
        state = path.lstat()
    except OSError:
        return False
    return path.is_dir() and not path.is_symlink() and state.st_uid == os.getuid()

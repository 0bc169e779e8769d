"""The machine: processors, memory, GPUs, clock."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path

from flows.checkout.git import git
from flows.doctor.findings import Said
from flows.doctor.subject import NotKnownError, Subject
from mtl.config.workers import cores
from mtl.data.sources.budget import total_memory
from mtl.errors import MtlError

SHARED = Path("/dev/shm")
SHARED_BYTES = 256 * 2**20
"""Ray's object store takes a half of it; containers have 64 MiB unless somebody says otherwise."""
AVAILABLE_BYTES = 2 * 2**30
OPEN_FILES = 4096
"""What Ray asks for before it warns by itself."""
SKEW_SECONDS = 60.0
"""Buckets refuse requests of a clock that is wrong by minutes."""
PCI, NVIDIA, DISPLAY = Path("/sys/bus/pci/devices"), "0x10de", "0x03"
ASK_TORCH = "import json, torch; c = torch.cuda; print(json.dumps([torch.__version__, torch.version.cuda, c.device_count(), c.is_available()]))"
TORCH_SECONDS = 25.0


def processors(subject: Subject) -> Said:
    """Enough for the workers of params.yaml."""
    there = cores()
    train = subject.config.train
    if subject.config.cluster.address == "local" and train.num_workers > there:
        found = (
            f"{there} for {train.num_workers} workers (train.num_workers): they take turns, and training is no faster"
        )
        return Said(
            "warning", found, f"set train.num_workers to {there} or fewer, or name a cluster in cluster.address"
        )
    return Said("ok", f"{there} for {train.num_workers} workers")


def memory(subject: Subject) -> Said:
    """Some is free."""
    import psutil

    available, total = min(psutil.virtual_memory().available, total_memory()), total_memory()
    found = f"{available / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    if available < AVAILABLE_BYTES:
        return Said(
            "warning", found, "end other programs, or take fewer train.num_workers: docs/sizing.md says what is needed"
        )
    return Said("ok", found)


def shared_memory(subject: Subject) -> Said:
    """Ray's object store has room."""
    if not SHARED.is_dir():
        return (
            Said("ok", f"no {SHARED} here: Ray uses files")
            if sys.platform != "linux"
            else Said("warning", f"there is no {SHARED}: Ray is slow", "mount a tmpfs there")
        )
    free = shutil.disk_usage(SHARED).free
    found = f"{free >> 20} MiB are free in {SHARED}"
    if free < SHARED_BYTES:
        return Said(
            "warning", found, "give the container more: docker run --shm-size=2g; or remove what was left there"
        )
    return Said("ok", found)


def open_files(subject: Subject) -> Said:
    """The limit of files that a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{soft} may be open at once"
    if 0 <= soft < OPEN_FILES:
        return Said("warning", found, f"ulimit -n {OPEN_FILES if hard < 0 or hard >= OPEN_FILES else hard}")
    return Said("ok", found)


def gpu(subject: Subject) -> Said:
    """Cards, driver and torch fit together; whether a training would use them."""
    cards, driver = _nvidia_cards(), _driver()
    if isinstance(driver, str):
        if cards:
            fix = "install NVIDIA's driver; in a container, start it with --gpus all"
            return Said("problem", f"{cards} NVIDIA cards and no driver that answers: {driver}", fix)
        return Said("ok", "no NVIDIA card: training runs on processors")
    version, names = driver
    build, cuda, seen, works = _torch()
    found = f"{len(names)} ({', '.join(sorted(set(names)))}), driver {version}, torch {build} for CUDA {cuda}, which sees {seen}"
    if cuda is None:
        return Said(
            "problem", f"{found}: torch was built for processors alone", "install requirements.lock again: make setup"
        )
    if not works or not seen:
        return Said("problem", found, f"the driver is too old for CUDA {cuda}, or CUDA_VISIBLE_DEVICES hides the cards")
    wanted = subject.config
    if wanted.cluster.use_gpu == "auto" and wanted.cluster.address == "local" and seen < wanted.train.num_workers:
        fix = f"set train.num_workers to auto, or to {seen} or fewer: with fewer GPUs than workers none is used"
        return Said("warning", f"{found}; {wanted.train.num_workers} workers would run on processors", fix)
    idle = seen - wanted.train.num_workers
    if wanted.cluster.use_gpu == "auto" and wanted.cluster.address == "local" and idle > 0:
        return Said("warning", f"{found}; {idle} of them idle", "set train.num_workers to auto, or to their number")
    return Said("ok", found + ("" if wanted.cluster.use_gpu == "auto" else "; not used (cluster.use_gpu: never)"))


def _nvidia_cards() -> int:
    """Which the bus has, whatever the driver says; a virtual machine or container may show none."""
    found = 0
    for device in PCI.glob("*") if PCI.is_dir() else ():
        try:
            vendor, kind = ((device / name).read_text(encoding="ascii").strip() for name in ("vendor", "class"))
        except OSError:
            continue
        found += vendor == NVIDIA and kind.startswith(DISPLAY)
    return found


def _driver() -> tuple[str, list[str]] | str:
    """The driver's version and the cards' names; or why it does not answer."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # no module elsewhere than on Linux; no library without a driver
        return str(error) or type(error).__name__
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    return str(pynvml.nvmlSystemGetDriverVersion()), [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]


def _torch() -> tuple[str, str | None, int, bool]:
    """torch's version, its CUDA, how many devices it sees, whether they work: asked in a process of its own."""
    command = [sys.executable, "-c", ASK_TORCH]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_SECONDS, check=True)
        version, cuda, seen, works = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise NotKnownError(f"torch does not say what it sees: {type(error).__name__}") from error
    return version, cuda, seen, works


def clock(subject: Subject) -> Said:
    """It is right: beside the servers of this checkout, or, without any, not before the last commit."""
    now = time.time()
    urls = (subject.settings.mlflow_uri, subject.settings.prefect_url, os.environ.get("AWS_ENDPOINT_URL"))
    for url in urls:
        if url and url.startswith("http") and (said := _date(url)) is not None:
            difference = time.time() - said
            found = f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} {url}"
            if abs(difference) > SKEW_SECONDS:
                return Said("problem", found, "set the clock: timedatectl set-ntp true")
            return Said("ok", found)
    try:
        committed = int(git(subject.root, "log", "-1", "--format=%ct"))
    except (MtlError, ValueError):
        committed = 0
    if now < committed - SKEW_SECONDS:
        return Said(
            "problem", f"it is {time.ctime(now)}, before the last commit", "set the clock: timedatectl set-ntp true"
        )
    return Said("not known", f"it is {time.ctime(now)}; there is no server here to compare it with")


def _date(url: str) -> float | None:
    """What a server takes for the time; None, if it does not say."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        text = error.headers.get("Date")
    except OSError:
        return None
    return parsedate_to_datetime(text).timestamp() if text else None

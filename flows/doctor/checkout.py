"""The checkout and the disks that it uses: settings, git, room, what file systems can."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from flows.checkout.git import git
from flows.checks import FREE_BYTES, check, disk, folders, nearest
from flows.doctor.findings import Said
from flows.doctor.subject import Subject
from mtl.config.params import load
from mtl.errors import MtlError


def checkout(subject: Subject) -> Said:
    """This is one, and its home takes files."""
    if subject.trouble is not None:
        raise subject.trouble
    return Said("ok", f"{subject.root}, MTL_HOME {subject.settings.home}")


def params(subject: Subject) -> Said:
    """params.yaml has no wrong key or value."""
    config = load(subject.settings.root / "params.yaml")
    return Said("ok", f"params.yaml: {len(config.tasks)} tasks, model {config.registry.model}")


def repository(subject: Subject) -> Said:
    """Git is there, trusts the checkout, and there is a commit for lineage to name."""
    version = git(subject.root, "--version").decode().strip()
    git(subject.root, "rev-parse", "--git-dir")
    try:
        commit = git(subject.root, "rev-parse", "--short", "HEAD").decode().strip()
    except MtlError:
        return Said("problem", f"{version}; there is no commit yet", "git add -A && git commit")
    changed = len(git(subject.root, "status", "--porcelain", "--", ".").splitlines())
    told = f"; {changed} files are not committed: a version keeps them as a patch" if changed else ""
    return Said("ok", f"{version}, commit {commit}{told}")


def identity(subject: Subject) -> Said:
    """Git knows who commits."""
    found: list[str] = []
    for key in ("user.name", "user.email"):
        try:
            found.append(git(subject.root, "config", key).decode().strip())
        except MtlError:
            fix = f"git config --global {key} …"
            return Said("warning", f"git has no {key}: commits (of params, dvc.lock, keys) will be refused", fix)
    return Said("ok", f"{found[0]} <{found[1]}>")


def room(subject: Subject) -> Said:
    """Each disk that is written to has some."""
    check(subject.settings, subject.config, (disk,))
    free: dict[int, str] = {}
    for folder, what in folders(subject.settings).items():
        there = nearest(folder)
        found = f"{shutil.disk_usage(there).free / 2**30:.1f} GiB for {what}"
        device = there.stat().st_dev
        free[device] = f"{free[device]}, {what}" if device in free else found
    return Said("ok", f"{'; '.join(free.values())} (more than {FREE_BYTES >> 20} MiB are wanted)")


def file_system(subject: Subject) -> Said:
    """Locks hold, names are told apart by case, links can be made, in the home; programs run in the temporary folder."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory(dir=subject.settings.home) as scratch:
        folder = Path(scratch)
        if not _locks(folder / "lock"):
            return Said(
                "problem",
                f"locks do not hold in {subject.settings.home}: two runs could write to one file",
                "set MTL_HOME to a folder on a local disk",
            )
        (folder / "case").touch()
        if (folder / "CASE").exists():
            faults.append("names that differ in case alone are one file")
        try:
            (folder / "symbolic").symlink_to("case")
            (folder / "hard").hardlink_to(folder / "case")
        except OSError as error:
            faults.append(f"no links: {error.strerror}")
    if not _executes():
        faults.append(f"programs do not run in {tempfile.gettempdir()} (noexec)")
    if faults:
        return Said(
            "warning", "; ".join(faults), "set MTL_HOME, or TMPDIR, to a folder on a local disk without these limits"
        )
    return Said("ok", "locks, links, case and execution as wanted")


def _locks(path: Path) -> bool:
    with FileLock(path):
        try:
            FileLock(path, is_singleton=False).acquire(timeout=0)
        except Timeout:
            return True
    return False


def _executes() -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "program")
        program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        program.chmod(0o700)
        try:
            return subprocess.run([program], check=False, capture_output=True).returncode == 0
        except OSError:
            return False

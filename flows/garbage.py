"""`mtl data gc`: data that no registered version and no present file needs leave the DVC cache, and the remote if asked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from flows.settings import Settings
from flows.versions import registry_of
from mtl.config import StageError

LINEAGE = ("dvc.yaml", "dvc.lock", "params.yaml")


def collect_garbage(settings: Settings, model: str, *, remote: bool, dry: bool) -> list[str]:
    """Run `dvc gc` with every registered version's lock file as a project that needs its data; DVC's lines.

    Raises:
        RegistryError: the registry cannot say what its versions need; then nothing is removed.
        StageError: DVC failed.
    """
    registry = registry_of(settings, model)
    with tempfile.TemporaryDirectory() as scratch:
        projects: list[str] = []
        for version in registry.versions():
            project = Path(scratch, f"version-{version.number}")
            registry.lineage(version, project, shown=True)
            if not all((project / name).exists() for name in LINEAGE):
                raise StageError(
                    f"version {version.number} does not say what data it needs",
                    found=f"its run {version.run} has no lineage/{LINEAGE[1]}",
                    fix="delete the version if it is not needed; nothing was removed",
                )
            _make_project(project, settings.root)
            projects.append(str(project))
        command = [sys.executable, "-m", "dvc", "gc", "--workspace", "--force"]
        command += ["--projects", *projects] if projects else []
        command += ["--cloud"] if remote else []
        command += ["--dry"] if dry else []
        done = subprocess.run(command, cwd=settings.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError("dvc gc failed", found=done.stderr.strip(), fix="nothing that is needed was removed")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def _make_project(project: Path, root: Path) -> None:
    """A DVC project with the version's files and this checkout's cache."""
    words = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(words, cwd=project, check=True, capture_output=True)
    (project / ".dvc" / "config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    (project / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {root / '.dvc' / 'cache'}\n", encoding="utf-8")

"""Where a version comes from: what is kept when it is registered, and `mtl lineage`, which shows it."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path

from flows.checkout.environment import other_packages
from flows.checkout.installed import ARCHIVE, is_project, keep_code
from flows.checkout.origin import Origin
from flows.registry.load import load_versions
from flows.settings import Settings
from mtl.config import read_params
from mtl.data.raw.listings import FOLDER
from mtl.output.redaction import redact
from mtl.output.terminal import harmless
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import CHALLENGER
from mtl.registry.tracking import FINGERPRINT
from mtl.reports.lineage import LeftOut, Lineage, Machine, Output, Sources, TrainingFacts, read_recorded

PATCH, LEFT_OUT, MACHINE = "uncommitted.patch", "left_out.json", "machine.json"
DATA_FILES = "dvc_files.json"
"""What `tracked_data` found when a version was made."""


def write_origin(origin: Origin, root: Path, folder: Path) -> list[Path]:
    """The machine that a version was made on; of a project, the installed mtl, which no commit of it has; and what differs from
    the commit, if anything does: as a patch, and what is not in that.
    """
    machine, packages = folder / MACHINE, other_packages(root) if is_project(root) else {}
    machine.write_text(json.dumps(this_machine(packages).as_json(), indent=1) + "\n", encoding="utf-8")
    data = folder / DATA_FILES
    data.write_text(json.dumps(tracked_data(root), indent=1) + "\n", encoding="utf-8")
    known = [machine, data, *([keep_code(folder)] if is_project(root) else [])]
    if not origin.dirty:
        return known
    patch, left_out = folder / PATCH, folder / LEFT_OUT
    patch.write_bytes(origin.difference.patch)
    left_out.write_text(json.dumps(origin.difference.left_out, indent=1) + "\n", encoding="utf-8")
    return [*known, patch, left_out]


def tracked_data(root: Path) -> dict[str, list[Output]]:
    """Path of each of DVC's files below data/, committed or not → its outputs: which images there are. No address that they
    came from is in it: it may have a password.
    """
    files = (path for path in sorted((root / FOLDER).rglob("*.dvc")) if path.is_file())
    return {path.relative_to(root).as_posix(): read_params(path).get("outs", []) for path in files}


def this_machine(packages: dict[str, str] | None = None) -> Machine:
    """What can change the last bits of a training.

    Args:
        packages: that are other ones than the lock names.
    """
    import psutil

    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    found = Machine(
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        processor=name,
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30),
    )
    return found.model_copy(update={"packages": packages}) if packages else found


def collect(settings: Settings, number: int) -> Lineage:
    """All that is known of a version, from pixels to alias.

    Raises:
        RegistryError: there is no such version.
    """
    config, registry = load_versions(settings)
    version = registry.get(number)
    tags = version.tags
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch)
        registry.lineage(version, kept, shown=True)
        aliases = [name for name in (CHAMPION, CHALLENGER) if (at := registry.at(name)) and at.number == number]
        sources, left_out = read_recorded(Sources, kept / "sources.json"), read_recorded(LeftOut, kept / LEFT_OUT)
        return Lineage(
            version=number,
            model=config.registry.model,
            aliases=tuple(aliases),
            sources=sources.root if sources else (),
            data=tags.get("mtl.data"),
            stages=_stages(kept / "dvc.lock"),
            commit=tags.get("mtl.commit"),
            dirty=tags.get("mtl.dirty") == "true",
            uncommitted=_text(kept / PATCH),
            left_out=left_out.root if left_out else {},
            installed=(kept / ARCHIVE).exists(),
            params=_params(kept / "params.yaml"),
            lock_sha256=tags.get("mtl.lock"),
            machine=read_recorded(Machine, kept / MACHINE),
            training=read_recorded(TrainingFacts, kept / "training.json"),
            mlflow_run=version.run,
            flow_run=tags.get("mtl.flow_run") or None,
            reason=tags.get("mtl.reason") or None,
            fingerprint=tags.get(FINGERPRINT),
            weights_sha256=tags.get("mtl.weights_sha256"),
            package_sha256=tags.get("mtl.package_sha256"),
            metrics=registry.metrics(version),
            decision=tags.get("mtl.decision"),
            unverified=version.doubt.why if version.doubt else None,
            promotions=tuple(e for e in registry.promotions.shown() if number in (e.to, e.replaces)),
        )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _params(path: Path) -> dict[str, object] | None:
    return read_params(path) if path.exists() else None


def _stages(path: Path) -> dict[str, dict[str, str]]:
    """Stage → what it made → its hash."""
    stages = read_params(path)["stages"] if path.exists() else {}
    return {name: {out["path"]: out["md5"] for out in stage.get("outs", [])} for name, stage in stages.items()}


def show(lineage: Lineage) -> str:
    """The lineage as indented text."""
    lines = [f"{lineage.model} version {lineage.version}  {' '.join(lineage.aliases) or '(no alias)'}"]
    lines += [f"UNVERIFIED: {lineage.unverified}"] if lineage.unverified else []
    for title, rows in _sections(lineage).items():
        lines.extend([title, *(f"  {row}" for row in rows or ["–"])])
    return harmless("\n".join(lines))


def _sections(lineage: Lineage) -> dict[str, list[str]]:
    """Title → what is known, a line each."""
    changed = sum(line.startswith("diff --git") for line in lineage.uncommitted.splitlines())
    more = f", with {changed} uncommitted files (kept as a patch)" if lineage.dirty else ""
    left_out = [f"not kept: {path} ({why})" for path, why in lineage.left_out.items()]
    code = [f"commit {lineage.commit}{more}", *(["mtl as installed then, kept"] if lineage.installed else [])]
    machine = lineage.machine.as_json() if lineage.machine else {}
    training = lineage.training.model_dump(mode="json") if lineage.training else {}
    return {
        f"sources ({len(lineage.sources)})": [
            f"{s.name}: {s.package} {s.version}, {s.licence}, sha256 {s.sha256[:12]}" for s in lineage.sources
        ],
        "stages, by DVC": [
            f"{n}: " + ", ".join(f"{p} {h[:12]}" for p, h in o.items()) for n, o in lineage.stages.items()
        ],
        "code": [*code, f"lock sha256 {str(lineage.lock_sha256)[:12]}", *left_out],
        "machine": [", ".join(f"{k} {v}" for k, v in machine.items())] if machine else [],
        "training": [", ".join(f"{k} {v}" for k, v in training.items())] if training else [],
        "runs": [
            f"MLflow {lineage.mlflow_run}",
            f"Prefect {lineage.flow_run or '–'}",
            f"reason {lineage.reason or '–'}",
        ],
        "weights": [f"sha256 {lineage.weights_sha256}"],
        "decision": [str(lineage.decision)],
        "champion": [
            f"{e.when} {e.replaces or '-'} → {e.to} {e.kind} by {e.who}: {e.why}"
            + (f" (UNVERIFIED: {e.unverified})" if e.unverified is not None else "")
            for e in lineage.promotions
        ],
    }


def page(lineage: Lineage, path: Path) -> None:
    """The lineage as one HTML file, the parameters and the patch included."""
    from mtl.reports.document import render

    html = render(
        Path(__file__).with_name("lineage.html.j2"),
        f"Lineage of version {lineage.version}",
        lineage=lineage,
        sections={title: [harmless(row) for row in rows] for title, rows in _sections(lineage).items()},
        params=redact(json.dumps(lineage.params, indent=1)),
        uncommitted=redact(lineage.uncommitted),
    )
    path.write_text(html, encoding="utf-8")

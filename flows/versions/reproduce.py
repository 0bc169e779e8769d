"""`mtl reproduce`: build a registered version again from what is kept of it, and say whether it is the same."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field, JsonValue

from flows.checkout.dvc import output_hash, run_stage
from flows.checkout.environment import other_packages
from flows.checkout.installed import is_project, lay_installed
from flows.checkout.workspace import copy_files, running, write_params
from flows.checks import check, disk
from flows.registry.lineage import MACHINE, this_machine
from flows.registry.load import load_versions
from flows.registry.restore import restore_code, restore_data, restore_environment, same_lock
from flows.run_log import step
from flows.settings import Settings
from flows.versions.package_files import beside_registered
from mtl.config import read_params
from mtl.config.params import Config, load, parse
from mtl.data.raw.rows import RawSplit, read_spec
from mtl.data.spec import SPLITS
from mtl.errors import DataError, MtlError
from mtl.output.terminal import plain
from mtl.registry.fingerprint import ancestry, fingerprint, read_stages
from mtl.registry.mlflow_params import flatten
from mtl.registry.registry import Registry, Version
from mtl.registry.tracking import FINGERPRINT
from mtl.reports import EvalReport, PackageReport, read_report
from mtl.reports.lineage import Machine, read_recorded
from mtl.reports.types import Report
from mtl.storage.digest import bytes_sha256, file_md5

_LOG = logging.getLogger(__name__)

MOST_NAMED = 20
"""Images that are named one by one."""


class Difference(Report):
    """One thing that is another one than it was registered."""

    what: str
    registered: JsonValue
    rebuilt: JsonValue


Differences = list[Difference]


class Reproduction(Report):
    """What came of building a version again."""

    version: int
    verdict: Literal["identical", "different"]
    differences: tuple[Difference, ...]
    circumstances: tuple[Difference, ...] = Field(description="that may explain a difference, and need not make any")
    weights_sha256: str | None = Field(description="as registered")
    seconds: float
    folder: str | None = Field(default=None, description="that was kept; None: none was")

    def as_json(self) -> dict[str, object]:
        """As `mtl reproduce --json` prints it."""
        return self.model_dump(exclude=None if self.folder else {"folder"})


def reproduce(
    settings: Settings,
    number: int,
    *,
    overrides: Sequence[str] = (),
    here: bool = False,
    keep: bool = False,
) -> Reproduction:
    """Build a version again, and name each thing that differs.

    Code comes from git, what was not committed, params and lock from the version's run, data by DVC hash, the environment
    from the lock. Every stage runs from scratch, in a folder of its own. The weights' digest, every file of the package,
    every metric with its interval and its resamples are compared. A package that is gone, or is not what was registered,
    is a difference by itself: nothing can be said of its files.

    Args:
        overrides: changes of the version's params, as in `mtl retrain --set`, to see what they do.
        here: with this checkout's code, params and data in place of the version's.
        keep: leave the folder when done.

    Raises:
        MtlError: something that is needed is gone, and nothing was found to differ so far.
    """
    began = time.monotonic()
    config, registry = load_versions(settings)
    version = registry.accept(registry.get(number))  # its code will run
    registry.evaluation(version)  # what the result is compared with
    check(settings, config, (disk,))
    folder = settings.home / "reproductions" / f"version-{number}"
    differences: Differences = []
    with running(settings, f"reproduce-{number}") as note:
        note.add(folders=[f"reproductions/{folder.name}{part}" for part in ("", "-kept", "-raw")])
        _LOG.info(f"version {number}: commit {version.tags.get('mtl.commit', '')[:12]}, MLflow run {version.run}")
        kept = restore_code(settings, registry, version, folder)
        restore_data(settings, folder)
        differences += _damaged(folder)
        raw = folder.parent / f"{folder.name}-raw"
        shutil.rmtree(raw, ignore_errors=True)
        shutil.copytree(folder / "outputs" / "raw", raw)
        if here:
            differences += take_checkout(settings, folder)
        if overrides:
            write_params(folder / "params.yaml", overrides)
        differences += _inputs(kept, folder, version)
        try:
            python = restore_environment(settings, folder / "requirements.lock")
            _build(settings, folder, raw, python, fetch=here, differences=differences)
            differences += _results(folder, kept, registry, version)
            changed = beside_registered(settings, registry, version, folder / "outputs" / "package")
            differences += [_differs(what, *both) for what, both in changed.items()]
        except MtlError as error:
            if not differences:
                raise
            differences.append(_differs("the rebuild", "finished", f"failed: {error.line}"))
        result = Reproduction(
            version=number,
            verdict="different" if differences else "identical",
            differences=tuple(differences),
            circumstances=tuple(_circumstances(settings, kept, folder)),
            weights_sha256=version.tags.get("mtl.weights_sha256"),
            seconds=round(time.monotonic() - began, 1),
            folder=str(folder) if keep else None,
        )
        for path in (kept, raw, *(() if keep else (folder,))):
            shutil.rmtree(path, ignore_errors=True)
    return result


def _differs(what: str, registered: JsonValue, rebuilt: JsonValue) -> Difference:
    return Difference(what=what, registered=registered, rebuilt=rebuilt)


def _damaged(folder: Path) -> Differences:
    """What came from the cache or the remote and is not what dvc.lock names, by image where that can be told."""
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from dvc_data.hashfile.tree import Tree

    raw = folder / "outputs" / "raw"
    with Repo(str(folder)) as repo:
        stages = (stage for stage in repo.index.stages if isinstance(stage, PipelineStage))
        stage = next(stage for stage in stages if stage.name == "fetch")
        out = next(out for out in stage.outs if out.def_path == "outputs/raw")
        tree = out.get_obj()
        assert isinstance(tree, Tree)
        wanted = {"/".join(key): digest.value for key, _, digest in tree if digest is not None}
    wrong = sorted(name for name, md5 in wanted.items() if not (raw / name).exists() or file_md5(raw / name) != md5)
    found: Differences = []
    for name in wrong:
        images = _broken_images(raw, name.removesuffix(".parquet")) if name.endswith(".parquet") else []
        found += [_differs(f"image {image}", "its key", "other bytes") for image in images[:MOST_NAMED]]
        if not images or len(images) > MOST_NAMED:
            found.append(_differs(f"data outputs/raw/{name}", wanted[name], "another content"))
    return found


def _broken_images(raw: Path, split: str) -> list[str]:
    """Samples whose bytes are not those that their key was made of."""
    try:
        rows = RawSplit(raw, split, read_spec(raw))
        return [s.id for s in rows.samples(0, len(rows)) if isinstance(s.image, bytes) and s.content_key() != s.key]
    except (DataError, pa.ArrowException, OSError):
        return []


def take_checkout(settings: Settings, folder: Path) -> Differences:
    """Put this checkout's files in place of the version's; the code files that differ."""
    before = {path: (folder / path).read_bytes() for path in _code(folder)}
    for path in before:
        (folder / path).unlink()
    copy_files(settings.root, folder)
    if is_project(settings.root):
        lay_installed(folder)
    after = {path: (folder / path).read_bytes() for path in _code(folder)}
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [_differs(f"code {path}", _presence(before.get(path)), _presence(after.get(path))) for path in changed]


def _code(folder: Path) -> list[str]:
    """The files that the fingerprint takes in, but for the params, which have their own names."""
    found = [path for part in ("mtl", "flows") for path in (folder / part).rglob("*") if path.is_file()]
    found += [folder / "dvc.yaml", folder / "requirements.lock"]
    return [path.relative_to(folder).as_posix() for path in found if path.exists() and "__pycache__" not in path.parts]


def _presence(content: bytes | None) -> str:
    return "absent" if content is None else f"sha256 {bytes_sha256(content)[:16]}"


def _inputs(kept: Path, folder: Path, version: Version) -> Differences:
    """Params that differ from those of the run, by key; and a fingerprint that does, where nothing else explains it."""
    params = read_params(folder / "params.yaml")
    parse(params)
    sections = {key.split(".")[0] for stage in read_stages(folder).values() for key in stage.get("params", [])}
    logged, present = (
        {key: value for key, value in values.items() if key.split(".")[0] in sections}
        for values in (dict(flatten(read_params(kept / "params.yaml"))), dict(flatten(params)))
    )
    found = [
        _differs(f"param {key}", logged.get(key, "absent"), present.get(key, "absent"))
        for key in sorted(logged.keys() | present.keys())
        if logged.get(key) != present.get(key)
    ]
    digest = fingerprint(folder, params)
    if not found and digest != version.tags.get(FINGERPRINT):
        found.append(_differs("fingerprint of code, data and params", version.tags.get(FINGERPRINT), digest))
    return found


def _build(
    settings: Settings,
    folder: Path,
    raw: Path,
    python: str,
    *,
    fetch: bool,
    differences: Differences,
) -> None:
    """Every stage from scratch. The data are those that were pulled; where the raw index points to the user's own files, or
    in place of the version's, they are fetched again and compared.
    """
    config: Config = load(folder / "params.yaml")
    home = folder / ".mtl"
    home.mkdir(exist_ok=True)
    downloads = settings.home / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    (home / "downloads").symlink_to(downloads.resolve())
    more = {"MTL_HOME": str(home), "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"}

    fetched = fetch or bool(read_spec(raw).roots)
    for name in ancestry(read_stages(folder)):
        if name != "fetch" or fetched:
            timeout = config.flow.stage_timeout_seconds
            with step(name):
                run_stage(name, folder, force=True, timeout=timeout, python=python, more=more)
        if name == "fetch" and fetched:
            differences += changed_images(raw, folder / "outputs" / "raw")


def changed_images(before: Path, after: Path) -> Differences:
    """Images that are new, gone or other ones, by id."""
    found: Differences = []
    for split in SPLITS:
        old, new = (dict(RawSplit(raw, split, read_spec(raw)).identities()) for raw in (before, after))
        changed = [i for i in sorted(old.keys() | new.keys()) if old.get(i) != new.get(i)]
        found += [
            _differs(f"image {i} ({split})", old.get(i, "absent")[:16], new.get(i, "absent")[:16])
            for i in changed[:MOST_NAMED]
        ]
        if len(changed) > MOST_NAMED:
            found.append(_differs(f"images of {split}", f"{len(old)} images", f"{len(changed)} of them changed"))
    return found


def _results(folder: Path, kept: Path, registry: Registry, version: Version) -> Differences:
    """Prepared data, weights and metrics."""
    outputs = folder / "outputs"
    registered, made = (output_hash(where, "prepare", "outputs/prepared") for where in (kept, folder))
    found: Differences = [] if made == registered else [_differs("prepared data", registered, made)]
    package = read_report(PackageReport, outputs / "package" / "report.json")
    if package.weights_sha256 != version.tags.get("mtl.weights_sha256"):
        found.append(_differs("weights", version.tags.get("mtl.weights_sha256"), package.weights_sha256))
    before = registry.evaluation(version)
    after = read_report(EvalReport, outputs / "evaluate" / "report.json")
    return found + _metrics(before, after)


def _metrics(before: EvalReport, after: EvalReport) -> Differences:
    """Every number of the two evaluations."""
    old, new = (json.loads(report.model_dump_json()) for report in (before, after))
    tasks = sorted(old["tasks"].keys() | new["tasks"].keys())
    found: Differences = []
    for task in tasks:
        one, other = old["tasks"].get(task, {}), new["tasks"].get(task, {})
        if not one or not other:
            found.append(_differs(f"task {task}", "present" if one else "absent", "present" if other else "absent"))
            continue
        first = len(found)
        for name in sorted(one["metrics"].keys() | other["metrics"].keys()):
            if one["metrics"].get(name) != other["metrics"].get(name):
                values = [(part.get(name) or {}).get("value") for part in (one["metrics"], other["metrics"])]
                found.append(_differs(f"metric {task}.{name}", *values))
        if one != other and len(found) == first:
            found.append(_differs(f"resamples, slices or robustness of {task}", "as registered", "others"))
    for key in ("samples_sha256", "num_samples", "seed", "num_resamples"):
        if old[key] != new[key]:
            found.append(_differs(f"evaluation {key}", old[key], new[key]))
    return found


def _circumstances(settings: Settings, kept: Path, folder: Path) -> Differences:
    """What was another one than then and may explain a difference, though it need not make any."""
    machine = read_recorded(Machine, kept / MACHINE)
    here = is_project(settings.root) and same_lock(settings, folder / "requirements.lock")
    packages = other_packages(settings.root) if here else {}  # else the environment was built from the lock
    before, after = machine.as_json() if machine else {}, this_machine(packages).as_json()
    keys = [*before, *(["packages"] if packages and "packages" not in before else [])]
    found = [
        _differs(f"machine {key}", before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)
    ]
    trainings = [kept / "training.json", folder / "outputs" / "train" / "training.json"]
    if all(path.exists() for path in trainings):
        one, other = (json.loads(path.read_text(encoding="utf-8")) for path in trainings)
        found += [
            _differs(f"training {key}", one.get(key), other.get(key))
            for key in ("worlds", "device", "bf16", "deterministic", "compiled")
            if one.get(key) != other.get(key)
        ]
    return found


def show(result: Reproduction) -> str:
    """The result as lines."""
    lines = [f"version {result.version}: {result.verdict} ({result.seconds:.0f} s)"]
    lines += [f"  {d.what}: registered {d.registered}, rebuilt {d.rebuilt}" for d in result.differences]
    lines += [f"  (by the way: {c.what} was {c.registered}, is {c.rebuilt})" for c in result.circumstances]
    if result.folder:
        lines.append(f"  kept in {result.folder}")
    return plain("\n".join(lines))

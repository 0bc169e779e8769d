"""Every page that there is, with enough on it to be looked at."""

from __future__ import annotations

import base64
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from flows.checkout.run_records import LastRun
from flows.home.app import page as home_page
from flows.home.flow_runs import FlowRun, FlowRuns
from flows.home.history import history_page
from flows.home.links import Links
from flows.home.overview import Home, Overview, Part
from flows.home.production import Arrival, Look
from flows.home.versions import VersionRow
from flows.registry.lineage import page as write_lineage
from flows.settings import Settings
from mtl.compare.page import write_page as write_comparison
from mtl.compare.results import Cell, ComparisonTable, Cosines, FailedRow, MethodRow
from mtl.config.gate import GateConfig
from mtl.config.params import Config
from mtl.data.inspect import page as data_page
from mtl.data.inspect.gallery import Sample
from mtl.data.inspect.report import DataReport
from mtl.data.spec import SPLITS
from mtl.gate import decide
from mtl.monitor.page import write_page as write_monitor
from mtl.monitor.profile import Profile
from mtl.reports import EvalReport, Metric, SliceReport, TrainReport
from mtl.reports.beside import PicturesBeside
from mtl.reports.card import write_card
from mtl.reports.change import Change
from mtl.reports.lineage import Lineage, Source
from mtl.reports.monitoring import MonitorReport
from mtl.reports.page import write_page
from mtl.reports.pictures import Picture, Pictures
from mtl.serving.page import page as endpoint_page
from tests.gate.test_gate import report, task

COST = {
    "parameters": 10**5,
    "multiply_adds": 10**7,
    "separate_parameters": 3 * 10**5,
    "separate_multiply_adds": 2 * 10**7,
}
LONG = "a_class_with_a_name_that_is_long_and_has_no_blank_in_it_at_all"
NAMES = ("cat", "dog", LONG)
START = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)


def evaluation(shift: float = 0.0) -> EvalReport:
    """Of three tasks, with slices and corruptions."""
    rng = np.random.default_rng(0)
    slices = {
        "site": {
            f"site {i}": SliceReport(value=0.6 + 0.02 * i, num_samples=30 + i, replicates=(0.7,) * 100)
            for i in range(8)
        }
    }
    more: dict[str, Any] = {
        "num_targets": 300,
        "slices": slices,
        "robustness": {"none": 0.81, "noise": 0.7, "blur": 0.6},
    }
    tasks = {
        name: task(value + shift, rng.normal(0, 0.01, 400), blind=0.2, support={"cat": 30, "newt": 0}, **more)
        for name, value in (("species", 0.81), ("site", 0.7), ("count", 0.66))
    }
    for name, one in tasks.items():
        value = one.metrics["accuracy"].value or 0.0
        metrics = {
            "accuracy": Metric(value=value, low=value - 0.03, high=value + 0.02, direction="max"),
            "ece": Metric(value=0.05 - shift, low=0.01, high=0.09, direction="min"),
            "mae": Metric(value=None, direction="min", unit="m"),
        }
        tasks[name] = one.model_copy(update={"metrics": metrics})
    return report(tasks).model_copy(update={"small_slices": {"site": 3}})


def training() -> TrainReport:
    """Of six epochs."""
    rows = [
        {
            "epoch": i,
            "step": 10 * i,
            "train/species/loss": 2 / (i + 1),
            "train/count/loss": 1 / (i + 1),
            "val/species/accuracy": i / 8,
            "val/score": i / 9,
            "learning_rate": 3e-3,
        }
        for i in range(6)
    ]
    values = {"history": rows, "best_epoch": 4, "steps": 60, "seconds": 12.5, "bf16": False, "world_size": 2}
    return TrainReport.model_validate(
        values | {"worlds": [[0, 2]], "device": "cpu", "parameters": {"shared": 90_000, "species": 1000}, "cost": COST}
    )


def photograph(seed: int = 0) -> np.ndarray:
    """uint8 RGB [256, 256, 3]: something to look at."""
    small = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
    return cv2.resize(small, (256, 256), interpolation=cv2.INTER_NEAREST)


def _png(seed: int) -> str:
    return base64.b64encode(cv2.imencode(".png", photograph(seed))[1].tobytes()).decode()


def run_folder(folder: Path) -> Path:
    """What the stage `evaluate` leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [
        Picture(
            id=f"test/{i:04}.png",
            kind="bad" if i < 4 else "good",
            drawn=_png(i),
            beside=_png(i),
            lines=("species: cat 0.93 (is dog)", "count: 3.1 (is 4)"),
        )
        for i in range(8)
    ]
    (folder / "pictures.json").write_text(Pictures(pictures=tuple(shown)).model_dump_json())
    pairs = [(a, b) for a in NAMES for b in NAMES for _ in range(9 if a == b else 2)]
    lines = ["task,actual,predicted", *(f"species,{a},{b}" for a, b in pairs)]
    (folder / "confusion.csv").write_text("\n".join(lines))
    (folder / "reliability.csv").write_text(
        "\n".join(["task,confidence,accuracy,count", *(f"species,{i / 10},{i / 11},9" for i in range(10))])
    )
    (folder / "precision_recall.csv").write_text(
        "\n".join(["task,recall,precision", *(f"objects,{i / 50},{1 - (i / 60) ** 2}" for i in range(50))])
    )
    return folder


def reports(folder: Path, config: Config) -> dict[str, Path]:
    """The version's report, with a champion beside it, and its card."""
    now, before = evaluation(), evaluation(-0.03)
    decision = decide(now, before, 1, GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95))
    facts = {
        "version": 2,
        "fingerprint": "0123456789abcdef" * 4,
        "commit": "f" * 40,
        "reason": "new images in set shop",
    }
    path = folder / "version-2.html"
    run = run_folder(folder / "run")
    shown = Pictures.model_validate_json((run / "pictures.json").read_bytes()).pictures
    others = tuple(
        one.model_copy(update={"drawn": _png(9), "lines": ("species: dog 0.61 (is dog)",)}) for one in shown[:7]
    )
    beside = PicturesBeside(pictures=others, remark="it has no task count")
    write_page(path, now, training(), decision, facts, run, before, beside)
    sources = [Source(name="zoo", package="animals", version="1", licence="CC0", sha256="a" * 64, num_items=100)]
    _, card = write_card(folder / "card", config, now, training(), decision, facts, sources)
    return {"report": path, "card": card}


def data(folder: Path) -> Path:
    """The data report."""
    some = {"number": 1, "files": ["notes.txt"]}
    account: dict[str, Any] = {"path": "data/shop", "found": 120, "used": 118, "copies": 1, "problems": 0, "ignored": 0}
    account |= {"left_out": {"no label": some}, "not_data": some, "unaccounted": some}
    lists = ("annotations", "near_duplicates", "crowds", "plain", "empty", "wrong_extensions", "first_of_many")
    found: dict[str, Any] = {name: [] for name in lists}
    found |= {"samples": {"train": 1000, "val": 100, "test": 100}, "warnings": ["test has few images of newt"]}
    found |= {"files": [account], "notes": {"turned by EXIF": 3}, "num_annotations": 0, "copies_dropped": 1}
    found |= {"quarantined": [{"id": f"q{i}.png", "split": "", "reason": "cannot be decoded"} for i in range(14)]}
    found |= {"leaks": [[["train", "a.png"], ["test", "b.png"]]], "num_leaks": 1, "num_near_duplicates": 4}
    found |= {"suspects": {"num_arrived": 0, "num_looked_at": 0, "patches": [], "conflicts": []}, "divided_groups": {}}
    balance = {name: dict.fromkeys(SPLITS, 40 - 10 * i) for i, name in enumerate(NAMES)}
    found |= {"sizes": [[640, 480, 900], [320, 240, 100]], "balance": {"species": balance}}
    path = folder / "data.html"
    spec = SimpleNamespace(
        sources=[
            SimpleNamespace(name="zoo", package="animals", version="1", licence="CC0", num_items=3, sha256="a" * 64)
        ],
        targets={},
    )
    drawn = {
        s: {("", None): [Sample(f"{s}{i}.png", photograph(i), ["species: cat"])] * 3} for i, s in enumerate(SPLITS)
    }

    def samples_of(folder: Path, manifest: Any, split: str, *_: Any) -> Any:
        return drawn[split]

    original, data_page.samples_of = data_page.samples_of, samples_of
    try:
        data_page.write_data_page(path, DataReport.model_validate(found), folder, SimpleNamespace(spec=spec))  # type: ignore[arg-type]
    finally:
        data_page.samples_of = original
    return path


def monitor(folder: Path) -> tuple[Path, MonitorReport]:
    """A look with a shift."""
    rng = np.random.default_rng(0)
    sides = [
        Profile(
            {"image/brightness": rng.normal(s, 1, 200).astype(np.float32)},
            {"species": rng.integers(0, 3, 200)},
            {"species": list(NAMES)},
        )
        for s in (0, 1)
    ]
    row = {"test": "ks", "p": 1e-9, "index": 0.9, "usual": 0.01, "reference": 0.1, "batch": 1.1}
    findings = [
        row | {"name": "image/brightness", "shifted": True},
        row | {"name": "species", "test": "chi2", "shifted": False},
    ]
    late = {"task": "species", "metric": "accuracy", "images": 40, "p": 0.01, "value": 0.7, "low": 0.6, "high": 0.8}
    found: dict[str, Any] = {
        "version": 1,
        "images": 200,
        "unreadable": [["x.png", "cannot be decoded"]],
        "findings": findings,
    }
    found |= {"late": [late | {"registered": 0.9, "worse": True, "version": 1}], "reasons": ["brightness has shifted"]}
    result = MonitorReport.model_validate(found | {"unjudged": ["count: no label has come"]})
    path = folder / "monitor.html"
    unlike = [(f"cam/{i}.png", 4.0 - i / 8, base64.b64decode(_png(i))) for i in range(12)]
    write_monitor(path, result, *sides, unlike=unlike)
    return path, result


def lineage(folder: Path) -> Path:
    """Of a version with uncommitted changes."""
    texts = (
        "model",
        "commit",
        "lock_sha256",
        "mlflow_run",
        "flow_run",
        "reason",
        "weights_sha256",
        "decision",
        "data",
        "fingerprint",
        "package_sha256",
    )
    found: dict[str, Any] = dict.fromkeys(texts, "0123456789abcdef") | {
        "version": 2,
        "dirty": True,
        "aliases": ["champion"],
    }
    found |= {"uncommitted": "diff --git a/params.yaml\n-x\n+y", "unverified": None, "left_out": {}, "machine": None}
    found |= {"sources": [dict.fromkeys(("name", "package", "version", "licence", "sha256"), "zoo")], "training": None}
    found |= {
        "stages": {"train": {"outputs/train": "f" * 32}},
        "params": {"seed": 0, "tasks": {"species": {"type": "classification"}}},
    }
    change = {"from": 1, "to": 2, "when": "2026-03-01", "kind": "promotion", "who": "ci", "why": "better"}
    path = folder / "lineage.html"
    write_lineage(
        Lineage.model_validate(found | {"metrics": {"species": {"accuracy": 0.8}}, "promotions": [change]}), path
    )
    return path


def comparison(folder: Path) -> Path:
    """Of two methods, and one that failed."""

    def row(name: str, mean: float) -> MethodRow:
        values = {"species": Cell(mean=0.8, half=0.02), "count": Cell(mean=0.5, half=None)}
        weights = tuple({"species": 1.0 + i / 4, "count": 1.0} for i in range(4))
        return MethodRow(
            method=name, seeds=3, learning_rate=3e-3, metrics=values, delta={"species": 0.01, "count": None}, weights=weights,
            delta_m=Cell(mean=mean, half=0.02), step=1.1, memory=1.0, val=0.7, rank=1.5,
        )  # fmt: skip

    cosines = {"features": Cosines(method="pcgrad", epochs=(((1.0, -0.3), (-0.3, None)),))}
    table = ComparisonTable(
        directions={"species": "max", "count": "min"}, metrics={"species": "accuracy", "count": "mae"}, seeds=3,
        alone={"species": Cell(mean=0.78, half=0.01), "count": Cell(mean=0.6, half=0.1)}, tasks=("species", "count"),
        rows=(row("pcgrad", 0.04), row("fixed", -0.01), FailedRow(method="nashmtl", error="not finite")),
        not_judged=("depth",), cosines=cosines,
    )  # fmt: skip
    path = folder / "comparison.html"
    write_comparison(path, table)
    return path


@dataclasses.dataclass
class Staged(Home):
    """A home whose overview is given."""

    given: Overview | None = None

    def overview(self) -> Overview:
        assert self.given is not None
        return self.given


def overview(result: MonitorReport, said: str = "promoted (against version 1): better") -> Overview:
    """Of five versions.

    Args:
        said: wherever somebody else's words stand.
    """
    rows = [
        VersionRow(
            number=i, run=f"run{i}", registered=START + timedelta(days=7 * i), champion=i == 4, promoted=i != 3, decision=said,
            reason=said, data=f"{said[:4]}{i // 2}", new_data=i == 2, unverified=said if i == 5 else "", evaluation=evaluation(i / 50),
        )
        for i in range(1, 6)
    ]  # fmt: skip
    changes = [
        Change.model_validate(
            {
                "from": i - 1 or None,
                "to": i,
                "kind": said,
                "why": said,
                "who": said,
                "when": START.isoformat(),
                "number": i,
            }
        )
        for i in (1, 2, 4)
    ]
    runs = [
        FlowRun(
            id=f"{i}",
            name=said,
            state_type="FAILED" if i else "COMPLETED",
            state_name=said,
            start_time=START.isoformat(),
            total_run_time=9.0,
            parameters={"reason": said},
        )
        for i in range(3)
    ]
    return Overview(
        at=START, model=said[:20], versions=Part(rows), changes=Part(changes),
        last_run=Part(LastRun(state="Failed", started=START.isoformat(), version=5, reason=said)),
        flow_runs=Part(FlowRuns(runs, runs)), ticks=Part([START + timedelta(days=i) for i in range(5)]),
        arrivals=Part([Arrival(START, said), Arrival(None, said)]),
        looks=Part([Look("ab" * 8, START.isoformat(), 200, result), Look("cd" * 8, said, 3, None)]),
    )  # fmt: skip


def nothing_known() -> Overview:
    """Where nothing answers."""
    parts: dict[str, Any] = {f.name: Part(unknown="it does not answer") for f in dataclasses.fields(Overview)}
    parts |= {"at": START, "model": "zoo"}
    return Overview(**parts)


def home(folder: Path, found: Overview) -> str:
    """The page of an overview."""
    settings = Settings(folder, folder, "sqlite:///none.db", None)
    links = Links("http://127.0.0.1:5000", "https://prefect.example/", "mtl:secret")
    return home_page(Staged(settings, given=found), links)


def history_of(found: Overview) -> str:
    """The page of `mtl history`."""
    return history_page(found.model, found.versions.value or [], found.changes.value or [])


def all_pages(folder: Path, config: Config) -> dict[str, Path]:
    """Name → file."""
    looked, result = monitor(folder)
    pages = reports(folder, config) | {"monitor": looked, "data": data(folder), "lineage": lineage(folder)}
    texts = {
        "endpoint": endpoint_page(),
        "home": home(folder, overview(result)),
        "empty home": home(folder, nothing_known()),
        "history": history_of(overview(result)),
        "empty history": history_page("zoo", [], []),
    }
    for name, text in texts.items():
        pages[name] = folder / f"{name.replace(' ', '-')}.html"
        pages[name].write_text(text, encoding="utf-8")
    return pages | {"comparison": comparison(folder)}

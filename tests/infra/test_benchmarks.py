"""Benchmarks run, end in time, and claim nothing that they did not measure. How fast anything is, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as every
from benchmarks.gpu import GRACE, PARTS, Found, Part, in_child, measure
from benchmarks.guard import RESULT, bounds, compared
from benchmarks.measuring.timing import covered
from benchmarks.one_gpu.bars import judged, ratios, table
from benchmarks.one_gpu.cases import DEFAULT, RESNET50
from benchmarks.one_gpu.parts import objectives
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.weighting import WEIGHTINGS
from tests.conftest import ROOT

WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("ray", "prefect", "dvc", "mlflow")))  # importing one of them fails
from benchmarks.gpu import main
main(sys.argv[1:])
"""


def test_the_gpu_benchmark_runs_at_tiny_sizes(tmp_path: Path) -> None:
    """Without Ray, Prefect, DVC and MLflow, on a CPU; no bar is claimed there."""
    parts = ["scenes", DEFAULT.name, "methods", "evaluation", "codecs", "recomputed", f"compiled {DEFAULT.name}"]
    words = ["--tiny", "--parts", *parts, "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["machine"]["device"] == "CPU, tiny sizes"
    assert {bar["verdict"] for bar in found["bars"]} == {"unmeasured"} and "unmeasured" in done.stdout
    names = found["ratios"]
    assert all(value > 0 for name, value in names.items() if not name.endswith(": waiting"))
    assert {"default@64 b2: product by best by hand", "default@64 b2: waiting", "scoring by its forward passes"} < set(
        names
    )
    assert {"step with famo by the sum's", "step with upgrad, parameters by the sum's"} < set(names)
    assert found["cut"] == [f"compiled {DEFAULT.name}: not at tiny sizes"]


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_said() -> None:
    """With what it had measured until then, and with the processes that it started."""
    child = (
        "import subprocess, sys, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        'print(\'ROW\', \'{"what": "step", "other": %d}\' % other.pid, flush=True)\n'
        "print('ROW {\"wh', end='', flush=True)\n"
        "time.sleep(60)\n"
    )
    began = time.monotonic()
    rows, why = in_child([sys.executable, "-c", child], 10.0)
    assert time.monotonic() - began < 30
    assert [row["what"] for row in rows] == ["step"] and why == ["its 10 s were over"]
    state = Path(f"/proc/{rows[0]['other']}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    assert in_child([sys.executable, "-c", "raise ValueError('no')"], 20.0) == ([], ["it failed: ValueError: no"])


def test_no_part_is_given_more_than_what_is_left() -> None:
    given: list[float] = []

    def run(part: Part, limit: float) -> Found:
        given.append(limit)
        return [{"what": part.name}], ["late"] if part.name == "methods" else []

    rows, cut = measure(PARTS, 300.0, run)
    assert len(rows) == len(PARTS) and cut == ["methods: late"]
    assert sum(part.share for part in PARTS) == pytest.approx(1.0)
    assert given == sorted(given) and given[-1] <= 300.0 - GRACE


def test_bars_are_met_or_not_or_unmeasured() -> None:
    def step(case: str, way: str, speed: float) -> dict[str, Any]:
        return {"what": "step", "case": case, "way": way, "ms": 1.0, "images_per_second": speed}

    method = {"what": "method", "case": "x", "level": "features", "tasks": 6, "with loading": False}
    rows = [
        step(RESNET50.name, "product", 900.0),
        step(RESNET50.name, "product, compiled", 1510.0),
        step(RESNET50.name, "by hand, channels_last", 1600.0),
        {"what": "waiting", "case": RESNET50.name, "share": 0.3},
        {"what": "waiting", "case": DEFAULT.name, "share": None},
        {**method, "method": "upgrad, features", "ratio": 1.02},
        {**method, "method": "cagrad, features", "ratio": 1.3},
    ]

    def verdicts(device: str) -> dict[str, str]:
        return {bar["name"]: bar["verdict"] for bar in judged(rows, device)}

    found = verdicts("NVIDIA H200")
    assert found["ResNet-50: product by best by hand"] == "met"
    assert found["ResNet-50: images/s"] == "met"
    assert found["default, batch 32: images/s"] == "unmeasured"
    assert found[f"{RESNET50.name}: waiting for the batch"] == "not met"
    assert found[f"{DEFAULT.name}: waiting for the batch"] == "unmeasured"
    assert found["slowest at the features (cagrad) by the sum"] == "not met"
    assert verdicts("NVIDIA H100")["ResNet-50: images/s"] == "asked for on an H200 only"
    assert set(verdicts("CPU, tiny sizes").values()) == {"unmeasured"}
    assert ratios(rows)[f"{RESNET50.name}: best of the product by best by hand"] == pytest.approx(1510 / 1600)
    on = {"device": "NVIDIA H200", "cores": 16, "torch": "2", "cuda": "13"}
    assert "cut: methods: late" in table(on, rows, judged(rows, "NVIDIA H200"), ["methods: late"])


def test_every_method_is_measured_at_each_level_it_has() -> None:
    found = set(objectives())
    assert {name.partition(", ")[0] for name in found} == set(WEIGHTINGS) - {"fixed"} | set(AGGREGATORS)
    assert {"upgrad, features", "upgrad, parameters", "gradnorm, features", "gradnorm, parameters", "famo"} < found
    assert "graddrop, features" not in found


def test_kernels_that_overlap_count_once() -> None:
    assert covered([(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.7)]) == pytest.approx(5.0)
    assert covered([]) == 0.0


def test_the_guard_warns_beyond_the_spread_of_repetitions() -> None:
    """As wide as they scatter: a ratio within it is as before, one above is slower, a new one has nothing beside it."""
    calm, wild = [1.00, 1.01, 0.99, 1.00, 1.02, 0.98], [1.0, 1.5, 0.7, 1.2, 0.8, 1.1]
    kept = {"calm": calm, "wild": wild}
    lines = compared({"calm": 1.3, "wild": 1.3, "new": 2.0}, kept)
    assert lines[0].startswith("warning: slower than kept: calm")
    assert not lines[1].startswith("warning") and "none is kept" in lines[2]
    assert "faster" in compared({"calm": 0.5}, kept)[0]
    low, high = bounds(calm, 0.01)
    assert low < min(calm) < max(calm) < high < 1.1


def test_the_kept_ratios_are_of_repeated_measurements() -> None:
    kept = json.loads(RESULT.read_text())
    assert all(len(values) >= 5 for values in kept["ratios"].values())
    assert {"cores", "processor", "torch"} <= set(kept["machine"])


def test_every_benchmark_that_is_named_is_there() -> None:
    assert set(every.NEEDS) < set(every.names())
    assert "guard" in every.names() and "measuring" not in every.names()

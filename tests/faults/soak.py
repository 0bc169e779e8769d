"""`make soak MINUTES=…`: a schedule of one tick a minute under which random processes are killed at random moments.

New params come now and then, so that there is work. At the end nobody is killed any more; the schedule has to register the
last params by itself. Counted: fingerprints with more than one version, and last params without one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from mtl.registry.fingerprint import fingerprint
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import Registry
from mtl.registry.tracking import FINGERPRINT
from mtl.registry.trust import Trust
from tests.conftest import ROOT, clean_environment, free_port, make_checkout, set_params
from tests.faults.lab import SETTINGS
from tests.flows.watch import Watched

KINDS = {
    "prefect server": "flows.processes.guard prefect",
    "runner": "run_schedule",
    "flow": "prefect.engine",
    "dvc": "dvc repro",
    "stage": "mtl.stages.",
    "worker": "RayTrainWorker",
    "raylet": "raylet/raylet",
    "head": "gcs/gcs_server",
}
RECOVERY_SECONDS = 420.0
"""In which the schedule has to have done its work once nobody kills any more."""


def main() -> int:
    """Kill for a while, look; 1 if a version was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", default="reports/soak.json", type=Path)
    wanted = parser.parse_args()
    chance = random.Random(wanted.seed)
    print(f"seed {wanted.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak") as scratch:
        root = make_checkout(Path(scratch), ROOT / ".mtl" / "downloads", *SETTINGS, "schedule.cron='* * * * *'")
        serving = _serve(root)
        try:
            kills = _disturb(root, serving, chance, wanted.minutes * 60)
            found = _look(root, kills)
        finally:
            with contextlib.suppress(Exception):
                serving.end(seconds=90)
            serving.output += "".join(line for line in list(serving.lines.queue) if line)
            wanted.out.parent.mkdir(parents=True, exist_ok=True)
            wanted.out.with_suffix(".log").write_text(serving.output)
    wanted.out.write_text(json.dumps({"seed": wanted.seed, "minutes": wanted.minutes} | found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if not found["lost"] and not found["doubled"] and found["chain"] else 1


def _serve(root: Path) -> Watched:
    environment = clean_environment() | {"PYTHONPATH": str(root), "MTL_PREFECT_PORT": str(free_port())}
    return Watched([sys.executable, "-m", "flows.cli", "serve"], root, environment)


def _disturb(root: Path, serving: Watched, chance: random.Random, seconds: float) -> dict[str, int]:
    """Kill processes and change params until the time is over; how many of each kind were killed."""
    kills: collections.Counter[str] = collections.Counter()
    deadline, changed, number = time.monotonic() + seconds, time.monotonic(), 0
    while time.monotonic() < deadline:
        time.sleep(chance.uniform(5, 60))
        kind = chance.choice(list(KINDS))
        members = _family(serving, KINDS[kind])
        if members:
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(members).kill()
                kills[kind] += 1
                print(f"killed: {kind}", flush=True)
        if time.monotonic() - changed > 150:
            changed, number = time.monotonic(), number + 1
            set_params(root / "params.yaml", f"train.learning_rate={3e-3 + number * 1e-5:.5f}")
    set_params(root / "params.yaml", "train.learning_rate=0.005")
    return dict(kills)


def _family(serving: Watched, text: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(serving.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if text in " ".join(process.cmdline()):
                    found.append(process)
    return found


def _look(root: Path, kills: dict[str, int]) -> dict[str, Any]:
    """Wait for the last params' version, and count."""
    from mtl.config import read_params
    from mtl.config.params import load

    began = time.monotonic()
    model, trust = load(root / "params.yaml").registry.model, Trust(own=root / ".mtl" / "keys")
    registry = Registry(f"sqlite:///{root}/.mtl/mlflow.db", model, trust)
    last = fingerprint(root, read_params(root / "params.yaml"))
    version = None
    while time.monotonic() - began < RECOVERY_SECONDS:
        version = registry.find(last)
        if version is not None and "mtl.decision" in version.tags:
            break
        time.sleep(3)
    versions = registry.versions()
    number = collections.Counter(v.tags[FINGERPRINT] for v in versions)
    changes = registry.promotions.history()
    alias = registry.at(CHAMPION)
    return {
        "kills": kills,
        "versions": len(versions),
        "undecided": sum("mtl.decision" not in v.tags for v in versions),
        "doubled": sum(count > 1 for count in number.values()),
        "lost": int(version is None),
        "promotions": len(changes),
        "chain": all(b.replaces == a.to for a, b in itertools.pairwise(changes))
        and alias is not None
        and alias.number == changes[-1].to,
        "seconds_to_recover": round(time.monotonic() - began),
    }


if __name__ == "__main__":
    sys.exit(main())

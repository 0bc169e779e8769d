"""What finding out that nothing changed costs: embedded, and with a Prefect server running.

    python benchmarks/unchanged.py CHECKOUT      (a checkout whose champion is up to date)

Prints wall and CPU seconds of each, the ratio to `mtl --help`, where those of a recorded run go (each row has what the row
before it has, and one thing more), and writes benchmarks/results/unchanged.json.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 3
SETTINGS = "from flows.settings import enter_checkout, reach_prefect; settings = enter_checkout()\n"
PARTS = {
    "  settings": SETTINGS,
    "  + import of Prefect, server asked": SETTINGS + "reach_prefect(settings)",
    "  + imports of the flow": SETTINGS + "reach_prefect(settings)\nimport flows.retraining.flow",
    "  + MLflow asked for the fingerprint": SETTINGS
    + """reach_prefect(settings)
import flows.retraining.flow
from flows.retraining.unchanged import find_registered
from flows.checkout.workspace import effective_params
from mtl.config.params import parse
from mtl.registry.fingerprint import fingerprint
params = effective_params(settings.root, [])
assert find_registered(settings, parse(params), fingerprint(settings.root, params))""",
}


def measure(words: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, str]:
    """Wall and CPU seconds of a command, children included, and its output."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu, done.stdout + done.stderr


def main() -> None:
    """Measure, print, keep."""
    folder = Path(sys.argv[1]).resolve()
    command = [sys.executable, "-m", "flows.cli"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    sys.path.insert(0, str(folder))
    from flows.processes.ui import start_prefect, wait_until_up
    from flows.settings import enter_checkout

    rows = {"help": best([*command, "--help"], folder, environment)}
    rows["unchanged, embedded"] = best([*command, "retrain"], folder, environment, "unchanged:")
    login = enter_checkout(folder).ensure_login()
    server = start_prefect(4299, login)
    try:
        wait_until_up("http://127.0.0.1:4299/api/health", server, "Prefect")
        served = environment | {"PREFECT_API_URL": "http://127.0.0.1:4299/api"}
        for name, code in PARTS.items():
            rows[name] = best([sys.executable, "-c", code], folder, served)
        rows["unchanged, with a server"] = best([*command, "retrain"], folder, served, "unchanged:")
    finally:
        server.terminate()
        server.wait(30)
    machine = {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    base = rows["help"]["wall_seconds"]
    for name, row in rows.items():
        print(
            f"{name:<38} {row['wall_seconds']:6.2f} s wall {row['cpu_seconds']:6.2f} s CPU  {row['wall_seconds'] / base:5.1f} × help"
        )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "unchanged.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def best(words: list[str], folder: Path, environment: dict[str, str], expected: str = "") -> dict[str, float]:
    """The fastest of several runs, each of which must print what is expected."""
    found: list[tuple[float, float]] = []
    for _ in range(REPEATS):
        wall, cpu, output = measure(words, folder, environment)
        assert expected in output, output[-2000:]
        found.append((round(wall, 2), round(cpu, 2)))
    wall, cpu = min(found)
    return {"wall_seconds": wall, "cpu_seconds": cpu}


if __name__ == "__main__":
    main()

"""How often the gate promotes, by the true gain and the size of the test split: errors and power.

    python -m benchmarks.gate [DRAWS]

Simulated test splits: five tasks, champion at 0.85 accuracy, half of all answers shared by both models; params.yaml's gate.
Writes benchmarks/results/gate.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mtl.config.params import load
from tests.gate.test_gate import rate

TASKS = ("a", "b", "c", "d", "e")
BASE = 0.85


def main() -> None:
    """Simulate, print a table, keep it."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    config = load().gate.model_copy(update={"max_ece": None, "max_size_mib": None, "slice_margin": None})
    lenient = config.model_copy(update={"min_improvement": None})
    rows: list[dict[str, Any]] = []
    for num_samples in (500, 2000, 8000):
        for gain in (-0.02, 0.0, 0.01, 0.02, 0.04, 0.08):
            better: dict[str, tuple[float, float]] = dict.fromkeys(TASKS, (BASE * (1 + gain), BASE))
            row = {"num_samples": num_samples, "gain": gain}
            row |= {"promoted": rate(draws, config, better, num_samples)}
            row |= {"promoted_not_worse": rate(draws, lenient, better, num_samples)}
            rows.append(row)
            print(row, flush=True)
        one_worse = {**dict.fromkeys(TASKS, (BASE * 1.08, BASE)), "a": (BASE * 0.98, BASE)}
        row = {"num_samples": num_samples, "gain": "four tasks +8 %, one -2 %"}
        row |= {"promoted": rate(draws, config, one_worse, num_samples)}
        row |= {"promoted_not_worse": rate(draws, lenient, one_worse, num_samples)}
        rows.append(row)
        print(row, flush=True)
    Path("benchmarks/results/gate.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

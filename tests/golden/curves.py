"""Loss curves of six steps, frozen: one for each way to a gradient, and one for each sharing.

`python -m tests.golden.curves` writes curves.json anew: only when what a training computes was changed on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mtl.model.sharing import SHARINGS
from tests.objective.tiny_steps import Steps

FILE = Path(__file__).with_name("curves.json")
CONVOLUTIONS = {"type": "compact", "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}
WAYS: dict[str, dict[str, Any]] = {
    "sum": {"weighting": {"type": "uncertainty"}, "level": "features"},
    "features": {"weighting": {"type": "fixed"}, "aggregator": {"type": "upgrad"}, "level": "features"},
    "parameters": {"weighting": {"type": "fixed"}, "aggregator": {"type": "upgrad"}, "level": "parameters"},
}
CURVES = (*(f"gradient {way}" for way in WAYS), *(f"sharing {sharing}" for sharing in SHARINGS))


def curve(name: str) -> list[list[float]]:
    """The tasks' losses, step by step; in float64, in which a machine's own order of additions is not seen after six steps."""
    kind, _, which = name.partition(" ")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        steps = Steps(WAYS[which]) if kind == "gradient" else Steps(WAYS["sum"], CONVOLUTIONS, which, size=64)
        made = [steps.make([steps.batch(number)], may_skip=False) for number in range(6)]
    finally:
        torch.set_default_dtype(before)
    return [outcome.losses.tolist() for outcome in made if outcome is not None]


if __name__ == "__main__":
    found = {name: [[round(loss, 9) for loss in losses] for losses in curve(name)] for name in CURVES}
    lines = ",\n".join(f' "{name}": {json.dumps(losses)}' for name, losses in found.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")

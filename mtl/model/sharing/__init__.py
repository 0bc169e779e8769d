"""The table of sharings: how tasks share parameters."""

from __future__ import annotations

from mtl.model.sharing.base import INITIAL, HeadPlan, MultiTaskModel
from mtl.model.sharing.cgc import CGC
from mtl.model.sharing.cross_stitch import CrossStitch
from mtl.model.sharing.fusion import Fusion
from mtl.model.sharing.hard import Hard
from mtl.model.sharing.mmoe import MMoE
from mtl.model.sharing.mtan import MTAN

__all__ = ["INITIAL", "SHARINGS", "HeadPlan", "MultiTaskModel"]

SHARINGS: dict[str, type[MultiTaskModel]] = {
    "hard": Hard,
    "cross_stitch": CrossStitch,
    "mtan": MTAN,
    "mmoe": MMoE,
    "cgc": CGC,
    "fusion": Fusion,
}

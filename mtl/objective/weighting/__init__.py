"""The table of weightings: one weight per task from the globally averaged losses."""

from __future__ import annotations

from mtl.config.objective import WeightingSection
from mtl.objective.weighting.base import Weighting
from mtl.objective.weighting.db_mtl import DBMTL
from mtl.objective.weighting.dwa import DWA
from mtl.objective.weighting.famo import FAMO
from mtl.objective.weighting.fixed import Fixed
from mtl.objective.weighting.gls import GLS
from mtl.objective.weighting.gradnorm import GradNorm
from mtl.objective.weighting.imtl_l import IMTLL
from mtl.objective.weighting.rlw import RLW
from mtl.objective.weighting.stch import STCH
from mtl.objective.weighting.uncertainty import Uncertainty

WEIGHTINGS: dict[str, type[Weighting[WeightingSection]]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "dwa": DWA,
    "rlw": RLW,
    "gls": GLS,
    "stch": STCH,
    "imtl_l": IMTLL,
    "famo": FAMO,
    "gradnorm": GradNorm,
    "db_mtl": DBMTL,
}

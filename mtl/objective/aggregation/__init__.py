"""The table of aggregators. `sum` has no entry: it is the absence of one."""

from __future__ import annotations

from mtl.config.objective import AggregatorSection
from mtl.objective.aggregation.gramian import IMTLG, MGDA, AlignedMTL, CAGrad, ConFIG, FairGrad, PCGrad, UPGrad
from mtl.objective.aggregation.stateful import ExcessMTL, GradDrop, GradVac, NashMTL
from mtl.objective.aggregator import Aggregator, GramianAggregator, JacobianAggregator

__all__ = ["AGGREGATORS", "Aggregator", "GramianAggregator", "JacobianAggregator"]

AGGREGATORS: dict[str, type[Aggregator[AggregatorSection]]] = {
    "upgrad": UPGrad,
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "mgda": MGDA,
    "nash_mtl": NashMTL,
    "aligned_mtl": AlignedMTL,
    "imtl_g": IMTLG,
    "graddrop": GradDrop,
    "gradvac": GradVac,
    "fairgrad": FairGrad,
    "config": ConFIG,
    "excess_mtl": ExcessMTL,
}

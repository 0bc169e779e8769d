"""The typed JSON that stages hand on, and the page that a person reads."""

from __future__ import annotations

from mtl.reports.evaluation import (
    FEWEST,
    METHOD,
    BlindReport,
    EvalReport,
    Metric,
    OwnSamples,
    Replicates,
    SliceReport,
    TaskReport,
    same_number,
)
from mtl.reports.types import (
    Decision,
    EpochRow,
    PackageReport,
    Rule,
    TrainReport,
    read_report,
)

__all__ = [
    "FEWEST",
    "METHOD",
    "BlindReport",
    "Decision",
    "EpochRow",
    "EvalReport",
    "Metric",
    "OwnSamples",
    "PackageReport",
    "Replicates",
    "Rule",
    "SliceReport",
    "TaskReport",
    "TrainReport",
    "read_report",
    "same_number",
]

"""The typed JSON that stages hand on, and the page that a person reads."""

from __future__ import annotations

from mtl.reports.types import (
    EVENT,
    FEWEST,
    METHOD,
    BlindReport,
    Decision,
    EvalReport,
    Metric,
    PackageReport,
    Replicates,
    Rule,
    SliceReport,
    TaskReport,
    TrainReport,
    read_report,
    same_number,
)

__all__ = [
    "EVENT",
    "FEWEST",
    "METHOD",
    "BlindReport",
    "Decision",
    "EvalReport",
    "Metric",
    "PackageReport",
    "Replicates",
    "Rule",
    "SliceReport",
    "TaskReport",
    "TrainReport",
    "read_report",
    "same_number",
]

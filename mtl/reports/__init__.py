"""The typed JSON that stages hand on, and the page that a person reads."""

from __future__ import annotations

from mtl.reports.types import (
    EVENT,
    Decision,
    EvalReport,
    Metric,
    PackageReport,
    Rule,
    SliceReport,
    TaskReport,
    TrainReport,
    read_report,
)

__all__ = [
    "EVENT",
    "Decision",
    "EvalReport",
    "Metric",
    "PackageReport",
    "Rule",
    "SliceReport",
    "TaskReport",
    "TrainReport",
    "read_report",
]

"""Whether there is anything to judge by, and whether a task has learnt anything."""

from __future__ import annotations

from collections.abc import Iterator

from mtl.config.gate import GateConfig
from mtl.reports import EvalReport, Rule, TaskReport

SHOWN = 8
"""Classes that a rule names."""


def learnt(name: str, task: TaskReport, config: GateConfig, *, new: bool) -> Iterator[Rule]:
    """Rules for every task that counts, with a champion or without.

    Args:
        new: whether the champion has no such task to be compared with.
    """
    found = _evidence(name, task, config.max_untested_classes if new else 1.0)
    if found is not None:
        yield found
    if found is None or found.passed:
        yield from _better_than_blind(name, task, config, new=new)


def before_first(name: str, task: TaskReport) -> Iterator[Rule]:
    """The floor of a task that the champion does not have, if it has one."""
    if task.floor is None:
        return
    metric = task.metrics[task.primary]
    sign = ">=" if metric.direction == "max" else "<="
    value = metric.value
    passed = value is not None and (value >= task.floor if sign == ">=" else value <= task.floor)
    found = "no sample has this target" if value is None else f"{value:.4f}"
    yield Rule(name="floor", task=name, required=f"{task.primary} {sign} {task.floor:g}", found=found, passed=passed)


def _evidence(name: str, task: TaskReport, may_lack: float) -> Rule | None:
    """Whether a task has test samples; None if nobody counted them and it has a value. How many are enough is the
    intervals' business: of few, they are wide.

    Args:
        may_lack: share of its classes that may have none. They are named in any case. Where the champion has the task, it
            is as unknown of them.
    """
    required = "test samples with the target"
    if may_lack < 1 and task.support:
        required += ", some of every class" if not may_lack else f", some of all but {may_lack:.0%} of the classes"
    value, count = task.metrics[task.primary].value, task.num_targets
    untested = [label for label, number in task.support.items() if not number]
    enough = len(untested) <= may_lack * len(task.support)
    if value is None or count == 0:
        return Rule(name="evidence", task=name, required=required, found="no sample has this target", passed=False)
    if count is None:
        return None
    found = f"{count} samples"
    if untested:
        more = f" and {len(untested) - SHOWN} more" if len(untested) > SHOWN else ""
        found += f", none of {', '.join(untested[:SHOWN])}{more}"
    return Rule(name="evidence", task=name, required=required, found=found, passed=enough)


def _better_than_blind(name: str, task: TaskReport, config: GateConfig, *, new: bool) -> Iterator[Rule]:
    """Whether a task is surely better than the best answer that does not look at the image."""
    if config.min_skill is None:
        return
    value, skill, title = task.metrics[task.primary].value, task.skill, "better than blind"
    required = f"skill > {config.min_skill:+.1%} at the interval's low end"
    if skill is None or value is None or task.blind is None:
        if new:  # else its gain over a champion that was asked is known, by an older report
            found = "not measured: the report has no answer without looking to compare with"
            yield Rule(name=title, task=name, required=required, found=found, passed=False)
        return
    compared = f"{task.primary} {value:.4f}, without looking {task.blind.value:.4f}"
    if task.yardstick.all_alike:
        found = f"{compared}: that is perfect, all targets are alike, so nothing can be shown"
        yield Rule(name=title, task=name, required=required, found=found, passed=False)
        return
    ends = skill.interval((1 - config.confidence) / 2)
    low, high = ends or (-1.0, 1.0)
    found = f"{skill.point:+.1%} [{low:+.1%}, {high:+.1%}] ({compared})"
    yield Rule(name=title, task=name, required=required, found=found, passed=low > config.min_skill)


def comparable(challenger: EvalReport, champion: EvalReport) -> bool:
    """Whether two reports are of the same samples and the same resamples of them, judged in the same way."""
    return same_samples(challenger, champion).passed


def same_samples(challenger: EvalReport, champion: EvalReport) -> Rule:
    """Whether the two can be compared sample by sample."""

    def describe(report: EvalReport) -> str:
        samples = f"{report.num_samples} samples {report.samples_sha256[:8]} {report.ids_sha256[:8]}".rstrip()
        return f"{samples}, {report.num_resamples} resamples of seed {report.seed}, judged by method {report.method}"

    renamed = [
        name
        for name, task in champion.tasks.items()
        if name in challenger.tasks and _classes(task) and _classes(task) != _classes(challenger.tasks[name])
    ]
    other = f", other classes of {', '.join(renamed)}" if renamed else ""
    return Rule(
        name="same test samples",
        required=describe(champion),
        found=describe(challenger) + other,
        passed=describe(champion) == describe(challenger) and not renamed,
    )


def _classes(task: TaskReport) -> list[str]:
    """In their order: a sample has a class's number, so by its digest it is the same under another name."""
    return list(task.support)


def same_tasks(challenger: EvalReport, champion: EvalReport) -> Iterator[Rule]:
    """Every task that counts in the champion must count, by the same metric."""
    kept = {name: task.primary for name, task in champion.tasks.items() if not task.auxiliary}
    for name, required in {**kept, **dict.fromkeys(champion.not_judged, "")}.items():
        other = challenger.tasks.get(name)
        found = "absent" if other is None else "auxiliary" if other.auxiliary else other.primary
        passed = found == required or (not required and found not in ("absent", "auxiliary"))
        why = required or f"any metric (the champion cannot be judged: {champion.not_judged[name]})"
        yield Rule(name="task kept", task=name, required=why, found=found, passed=passed)

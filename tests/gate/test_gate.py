"""The gate: pure, paired, never fooled by one task's gain, and nothing passes of which nothing is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.observe.summary import decision_lines
from mtl.config.gate import GateConfig
from mtl.config.params import Config
from mtl.gate import comparable, decide, relative_gains
from mtl.reports import BlindReport, Decision, EvalReport, Metric, SliceReport, TaskReport
from mtl.reports.forest import draw_decision

GATE = GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95)
LENIENT = GATE.model_copy(update={"min_improvement": None})


def task(
    value: float | None,
    noise: np.ndarray,
    direction: str = "max",
    floor: float | None = 0.5,
    auxiliary: bool = False,
    blind: float | None = None,
    **more: Any,
) -> TaskReport:
    """`blind` has no noise: by how much a task is better is what varies."""
    return TaskReport(
        type="classification",
        auxiliary=auxiliary,
        primary="accuracy",
        floor=floor,
        metrics={"accuracy": Metric(value=value, low=None, high=None, direction=direction)},  # type: ignore[arg-type]
        replicates=(None,) * len(noise) if value is None else tuple(value + noise),
        blind=None if blind is None else BlindReport(value=blind, replicates=(blind,) * len(noise), jackknife=()),
        **{"slices": {}, **more},
    )


def report(tasks: dict[str, TaskReport], samples: str = "a") -> EvalReport:
    return EvalReport(samples_sha256=samples, num_samples=100, seed=0, num_resamples=400, confidence=0.95, tasks=tasks)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.005, 400)


def failed(decision: Decision) -> list[tuple[str, str | None]]:
    return [(rule.name, rule.task) for rule in decision.rules if not rule.passed]


def test_the_first_version_must_reach_its_floors(noise: np.ndarray) -> None:
    def first(**tasks: TaskReport) -> Decision:
        return decide(report(tasks), None, None, GATE)

    assert first(a=task(0.6, noise, blind=0.1)).promote
    refused = first(a=task(0.6, noise, blind=0.1), b=task(0.4, noise, blind=0.1))
    assert "b: floor requires accuracy >= 0.5, found 0.4000" in refused.summary
    assert first(a=task(0.4, noise, "min", blind=0.9)).promote
    assert failed(first(a=task(0.6, noise, "min", blind=0.9))) == [("floor", "a")]
    assert first(a=task(0.2, noise, floor=None, blind=0.1)).promote  # no floor: better than without looking is enough


def test_what_was_not_asked_is_not_said_to_be_so(noise: np.ndarray) -> None:
    tasks = report({"a": task(0.6, noise, blind=0.7)})
    unasked = decide(tasks, None, None, GATE.model_copy(update={"min_skill": None}))
    assert unasked.promote
    assert "surely better" not in unasked.summary
    assert "gate.min_skill: null" in unasked.summary
    asked = decide(report({"a": task(0.6, noise, blind=0.1)}), None, None, GATE)
    assert "every task is surely better than without looking" in asked.summary


# --- no evidence is not good evidence


@pytest.mark.parametrize("champion", [False, True])
def test_models_no_better_than_blind_are_never_promoted(noise: np.ndarray, champion: bool) -> None:
    wide = LENIENT.model_copy(update={"margin": 0.2})

    def asked(challenger: TaskReport, config: GateConfig = wide) -> list[tuple[str, str | None]]:
        old = report({"a": task(0.62, noise, floor=None)}) if champion else None
        return failed(decide(report({"a": challenger}), old, 1 if champion else None, config))

    assert asked(task(0.65, noise, floor=None, blind=0.6)) == []
    # As good, a little better by chance, worse: whatever the champion was.
    for value in (0.6, 0.605, 0.58):
        assert asked(task(value, noise, floor=None, blind=0.6)) == [("better than blind", "a")]
    assert asked(task(0.65, noise, floor=None, blind=0.6), wide.model_copy(update={"min_skill": 0.2})) != []
    assert asked(task(0.6, noise, floor=None, blind=0.6), wide.model_copy(update={"min_skill": None})) == []


def test_where_all_targets_are_alike_nothing_can_be_shown(noise: np.ndarray) -> None:
    (rule,) = [
        rule
        for rule in decide(report({"a": task(1.0, noise * 0, blind=1.0)}), None, None, GATE).rules
        if rule.name == "better than blind"
    ]
    assert not rule.passed
    assert "all targets are alike" in rule.found
    assert failed(decide(report({"a": task(0.0, noise * 0, "min", 9.0, blind=0.0)}), None, None, GATE))


def test_a_task_without_test_samples_never_passes(noise: np.ndarray) -> None:
    good, none = task(0.8, noise, blind=0.1), task(None, noise, num_targets=0)
    for champion in (None, report({"a": good, "x": none}), report({"a": good})):
        decision = decide(report({"a": good, "x": none}), champion, champion and 1, LENIENT)
        assert ("evidence", "x") in failed(decision)
        assert ("better than blind", "x") not in failed(decision)  # said once
    few = task(0.8, noise, blind=0.1, num_targets=5)
    assert decide(
        report({"a": few}), report({"a": good}), 1, LENIENT
    ).promote  # what few samples show is in the interval


def test_a_first_version_with_untested_classes_is_refused(noise: np.ndarray) -> None:
    found = task(0.8, noise, blind=0.1, num_targets=50, support={"cat": 30, "dog": 20, "axolotl": 0, "newt": 0})
    decision = decide(report({"a": found}), None, None, GATE)
    assert failed(decision) == [("evidence", "a")]
    assert "found 50 samples, none of axolotl, newt" in decision.summary
    assert decide(report({"a": found}), None, None, GATE.model_copy(update={"max_untested_classes": 0.5})).promote
    # The champion knows no more of them: said, not refused.
    after = decide(report({"a": found}), report({"a": task(0.7, noise)}), 1, GATE)
    assert after.promote
    assert "none of axolotl, newt" in next(rule.found for rule in after.rules if rule.name == "evidence")


def test_a_task_that_counts_only_now_is_gated_as_new(noise: np.ndarray) -> None:
    """And beside what it was as an auxiliary."""
    champion = report({"a": task(0.8, noise), "x": task(0.9, noise, auxiliary=True)})

    def asked(**of: Any) -> list[tuple[str, str | None]]:
        return failed(decide(report({"a": task(0.8, noise), "x": task(**of)}), champion, 1, LENIENT))

    assert asked(value=0.92, noise=noise, blind=0.1) == []
    assert ("floor", "x") in asked(value=0.05, noise=noise, blind=0.01)
    assert asked(value=0.7, noise=noise, blind=0.1) == [("not worse", "x"), ("improvement", None)]
    assert asked(value=0.92, noise=noise) == [("better than blind", "x")]  # nobody measured it


def test_a_report_of_another_way_of_judging_is_not_compared(noise: np.ndarray) -> None:
    old = report({"a": task(0.8, noise)})
    new = report({"a": task(0.9, noise, blind=0.1)}).model_copy(update={"method": 2})
    assert failed(decide(new, old, 1, GATE)) == [("same test samples", None)]
    assert failed(decide(new.model_copy(update={"ids_sha256": "b"}), new, 1, GATE)) == [("same test samples", None)]


def test_without_a_task_that_counts_there_is_no_evidence(noise: np.ndarray) -> None:
    assert failed(decide(report({"a": task(0.9, noise, auxiliary=True)}), None, None, GATE)) == [("evidence", None)]


# --- gains


def test_no_tasks_gain_pays_for_anothers_loss(noise: np.ndarray) -> None:
    quiet = noise / 20
    names = ("a", "b", "c", "d")
    before = {n: task(0.8, quiet) for n in names}
    lost = {n: task(0.788, quiet) for n in names}  # each within the margin
    for old, new in ((0.002, 0.004), (0.2, 0.6), (0.0, 1.0)):
        champion = report({**before, "rare": task(old, quiet * 0)})
        decision = decide(report({**lost, "rare": task(new, quiet * 0)}), champion, 1, GATE)
        assert failed(decision) == [("improvement", None)]
        assert "surely worse: " in decision.summary
        (rule,) = [rule for rule in decision.rules if rule.name == "improvement"]
        assert rule.difference == pytest.approx((4 * -0.015 + (new - old) / max(old, 1 - old)) / 5)
    one = report({**before, "d": task(0.795, quiet)})  # a single sure loss, however little
    better = report({n: task(0.9, quiet) for n in names} | {"d": task(0.79, quiet)})
    assert failed(decide(better, one, 1, GATE)) == [("improvement", None)]
    assert decide(better, one, 1, LENIENT).promote  # there, what the margin allows is allowed


def test_gains_are_bounded_and_unknown_where_a_value_is(noise: np.ndarray) -> None:
    point, paired = relative_gains(task(1e-4, noise * 0), task(0.0, noise * 0))
    assert point == pytest.approx(1e-4)
    assert np.allclose(paired, 1e-4)
    assert relative_gains(task(1.0, noise * 0), task(0.0, noise * 0))[0] == 1.0
    assert np.isnan(relative_gains(task(None, noise), task(0.5, noise))[0])


def test_the_decision_for_a_person(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    decision = decide(report({"a": task(0.9, noise, blind=0.1), "b": task(0.7, noise, blind=0.1)}), champion, 3, GATE)
    first, a, b, together = decision_lines(decision)
    assert first == "not promoted (against champion version 3)"
    assert a.startswith("a ") and "✓ not worse: +12.50%" in a and "accuracy 0.9000 after 0.8000" in a
    assert "✓ better than blind: +88.9%" in a and "without looking 0.1000" in a
    assert "✗ not worse: -12.50%" in b and "(required: gain > -2.0% at the interval's low end)" in b
    assert together.startswith("all tasks") and "✗ improvement" in together


def test_a_regression_of_one_task_never_passes(noise: np.ndarray) -> None:
    """Whatever the others gain."""
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    challenger = report({"a": task(0.99, noise), "b": task(0.77, noise)})
    decision = decide(challenger, champion, 3, GATE)
    assert not decision.promote
    assert decision.champion == 3
    assert [(r.task, r.passed) for r in decision.rules if r.name == "not worse"] == [("a", True), ("b", False)]


def test_equal_models_neither_regress_nor_improve(noise: np.ndarray) -> None:
    same = report({"a": task(0.8, noise)})
    assert decide(same, same, 1, LENIENT).promote
    refused = decide(same, same, 1, GATE)
    assert [rule.name for rule in refused.rules if not rule.passed] == ["improvement"]
    better = report({"a": task(0.84, noise)})
    assert decide(better, same, 1, GATE).promote
    assert not decide(better, same, 1, GATE.model_copy(update={"min_improvement": 0.06})).promote


def test_a_metric_that_improves_downwards(noise: np.ndarray) -> None:
    champion = report({"a": task(0.30, noise, "min", 1.0)})
    assert decide(report({"a": task(0.25, noise, "min", 1.0)}), champion, 1, GATE).promote
    assert not decide(report({"a": task(0.33, noise, "min", 1.0)}), champion, 1, GATE).promote


def test_auxiliary_tasks_do_not_count(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "x": task(0.9, noise, auxiliary=True)})
    assert decide(report({"a": task(0.81, noise), "x": task(0.1, noise, auxiliary=True)}), champion, 1, GATE).promote


def test_other_samples_or_a_lost_task_are_refused(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    moved = decide(report({"a": task(0.9, noise), "b": task(0.9, noise)}, samples="other"), champion, 1, GATE)
    assert not moved.promote
    assert "same test samples" in moved.summary
    lost = decide(report({"a": task(0.9, noise)}), champion, 1, GATE)
    assert not lost.promote
    assert "b: task kept requires accuracy, found absent" in lost.summary


def test_shipped_settings_are_a_gate(config: Config) -> None:
    assert 0 < config.gate.margin < 0.1


def test_a_report_without_the_new_settings_is_judged_as_before(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    decision = decide(report({"a": task(0.9, noise), "b": task(0.9, noise)}), champion, 1, GATE)
    assert {rule.name for rule in decision.rules} == {"same test samples", "task kept", "not worse", "improvement"}


# --- several comparisons at once


def simulated(
    rng: np.random.Generator, counts: np.ndarray, accuracies: dict[str, tuple[float, float]]
) -> tuple[EvalReport, EvalReport]:
    """Challenger and champion with these true accuracies by task, on the same images: half of all answers agree."""
    num_samples = counts.shape[1]
    found: list[dict[str, TaskReport]] = [{}, {}]
    for name, truths in accuracies.items():
        shared, agree = rng.random(num_samples), rng.random(num_samples) < 0.5
        for reports, truth in zip(found, truths, strict=True):
            right = np.where(agree, shared, rng.random(num_samples)) < truth
            reports[name] = TaskReport.model_construct(
                type="classification",
                auxiliary=False,
                primary="accuracy",
                floor=0.0,
                metrics={
                    "accuracy": Metric.model_construct(value=float(right.mean()), direction="max", low=None, high=None)
                },
                replicates=counts @ right / num_samples,  # type: ignore[arg-type]
                slices={},
                robustness={},
            )
    return report_of(found[0]), report_of(found[1])


def report_of(tasks: dict[str, TaskReport]) -> EvalReport:
    return EvalReport.model_construct(
        samples_sha256="a", num_samples=1, seed=0, num_resamples=1, confidence=0.95, tasks=tasks, not_judged={}
    )


def rate(draws: int, config: GateConfig, accuracies: dict[str, tuple[float, float]], num_samples: int = 400) -> float:
    """How often the gate promotes, over simulated test sets."""
    rng = np.random.default_rng(5)
    counts = rng.multinomial(num_samples, [1 / num_samples] * num_samples, size=400).astype(float)
    return (
        sum(decide(*pair, 1, config).promote for pair in (simulated(rng, counts, accuracies) for _ in range(draws)))
        / draws
    )


THREE = ("a", "b", "c")


def test_type_one_error_of_equal_models_is_at_most_five_percent() -> None:
    wide = GATE.model_copy(update={"margin": 0.5})  # else the margin refuses before the improvement is asked for
    for config in (GATE, wide):
        assert rate(2000, config, dict.fromkeys(THREE, (0.8, 0.8))) <= 0.05


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "none"])
def test_worse_by_the_margin_passes_in_at_most_five_percent(correction: str) -> None:
    config = LENIENT.model_copy(update={"margin": 0.05, "correction": correction})
    at_the_margin = {"a": (0.76, 0.8), "b": (0.95, 0.8), "c": (0.95, 0.8)}
    assert rate(2000, config, at_the_margin) <= 0.05


def test_power_grows_with_the_gain_and_with_the_test_set() -> None:
    config = GATE.model_copy(update={"margin": 0.05})
    powers = [rate(300, config, dict.fromkeys(THREE, (0.8 * (1 + gain), 0.8))) for gain in (0.0, 0.03, 0.06, 0.12)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.95
    larger = rate(300, config, dict.fromkeys(THREE, (0.8 * 1.03, 0.8)), num_samples=1600)
    assert larger > powers[1] + 0.1


def test_holm_finds_no_less_than_bonferroni() -> None:
    rng = np.random.default_rng(2)
    counts = rng.multinomial(300, [1 / 300] * 300, size=400).astype(float)
    lenient = {c: LENIENT.model_copy(update={"margin": 0.08, "correction": c}) for c in ("none", "holm", "bonferroni")}
    passed = dict.fromkeys(lenient, 0)
    for _ in range(200):
        pair = simulated(rng, counts, dict.fromkeys(THREE, (0.8, 0.8)))
        found = {name: decide(*pair, 1, config).promote for name, config in lenient.items()}
        assert found["bonferroni"] <= found["holm"] <= found["none"]
        passed = {name: passed[name] + found[name] for name in found}
    assert passed["bonferroni"] < passed["holm"] < passed["none"]


# --- slices


def sliced(value: float, by_slice: dict[str, float], seed: int, spread: float = 0.02) -> EvalReport:
    rng = np.random.default_rng(seed)
    one = task(value, rng.normal(0, 0.005, 400))
    slices = {
        name: SliceReport(value=v, num_samples=50, replicates=tuple(v + rng.normal(0, spread, 200)))
        for name, v in by_slice.items()
    }
    return report({"a": one.model_copy(update={"slices": {"place": slices}})})


def test_a_slice_that_is_surely_worse_refuses_a_better_model() -> None:
    config = LENIENT.model_copy(update={"slice_margin": 0.1})
    champion = sliced(0.8, {"indoors": 0.8, "night": 0.8}, 0)
    decision = decide(sliced(0.85, {"indoors": 0.9, "night": 0.5}, 1), champion, 1, config)
    (rule,) = [rule for rule in decision.rules if rule.name == "slices"]
    assert not decision.promote
    assert not rule.passed
    assert rule.found.startswith("worst of 2: place night -37.50%")
    assert decide(sliced(0.85, {"indoors": 0.9, "night": 0.5}, 1), champion, 1, LENIENT).promote
    # As much worse, but on a slice so small that it may be chance.
    uncertain = sliced(0.85, {"indoors": 0.9, "night": 0.5}, 1, spread=0.3)
    assert decide(uncertain, champion, 1, config).promote


def test_many_equal_slices_refuse_in_at_most_five_percent() -> None:
    config = LENIENT.model_copy(update={"slice_margin": 0.0})
    refused = 0
    for draw in range(300):
        rng = np.random.default_rng(draw)
        truths = {f"s{i}": 0.8 for i in range(40)}
        champion = sliced(0.8, truths, 2 * draw)
        found = {name: value + rng.normal(0, 0.02 * 2**0.5) for name, value in truths.items()}
        rule = next(
            r for r in decide(sliced(0.8, found, 2 * draw + 1), champion, 1, config).rules if r.name == "slices"
        )
        refused += not rule.passed
    assert refused / 300 <= 0.07  # 5 % and two standard errors of 300 draws


# --- what the champion cannot be asked, and budgets


def test_a_task_with_new_classes_must_reach_its_floor(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise)}).model_copy(update={"not_judged": {"b": "other classes"}})
    reached = report({"a": task(0.9, noise), "b": task(0.6, noise, blind=0.1)})
    assert decide(reached, champion, 1, GATE.model_copy(update={"approval_minutes": 5})).promote
    alone = decide(reached, champion, 1, GATE)  # nothing was compared: a person must know of it
    assert failed(alone) == [("gain without arrivals", "b")]
    assert "other classes" in alone.summary
    low = decide(report({"a": task(0.9, noise), "b": task(0.4, noise, blind=0.1)}), champion, 1, GATE)
    assert "b: floor requires accuracy >= 0.5, found 0.4000" in low.summary
    gone = decide(report({"a": task(0.9, noise)}), champion, 1, GATE)
    assert "b: task kept" in gone.summary
    assert "other classes" in gone.summary


def test_classes_of_other_names_are_other_classes(noise: np.ndarray) -> None:
    """A sample has a class's number: by its digest it is the same when cats are called dogs, and dogs cats."""
    before = report({"a": task(0.8, noise, blind=0.1, num_targets=50, support={"cat": 30, "dog": 20})})
    after = report({"a": task(0.9, noise, blind=0.1, num_targets=50, support={"dog": 30, "cat": 20})})
    assert comparable(before, before)
    assert not comparable(after, before)
    decision = decide(after, before, 1, GATE)
    assert not decision.promote
    assert "other classes of a" in decision.summary


def test_a_champion_that_cannot_be_judged_is_not_replaced(noise: np.ndarray) -> None:
    decision = decide(report({"a": task(0.99, noise)}), None, 4, GATE, obstacle="its package is damaged")
    assert not decision.promote
    assert decision.champion == 4
    assert "its package is damaged" in decision.summary


def with_more(noise: np.ndarray, ece: float, robustness: dict[str, float | None]) -> EvalReport:
    one = task(0.8, noise, blind=0.1)
    metrics = {**one.metrics, "ece": Metric(value=ece, low=ece - 0.01, high=ece + 0.01, direction="min")}
    return report({"a": one.model_copy(update={"metrics": metrics, "robustness": robustness})})


def test_budgets_hold_for_the_first_version_too(noise: np.ndarray) -> None:
    limits = {"max_ece": 0.1, "max_robustness_loss": 0.3, "max_latency_ms": 20.0, "max_size_mib": 10.0}
    config = GATE.model_copy(update=limits)
    good = with_more(noise, 0.05, {"none": 0.8, "noise": 0.7, "blur": 0.5})
    assert decide(good, None, None, config, num_bytes=2**20, latency_ms=5.0).promote

    def broken(found: EvalReport, num_bytes: int | None = 2**20, latency_ms: float | None = 5.0) -> list[str]:
        decision = decide(found, None, None, config, num_bytes=num_bytes, latency_ms=latency_ms)
        return [rule.name for rule in decision.rules if not rule.passed]

    assert broken(with_more(noise, 0.2, good.tasks["a"].robustness)) == ["calibration"]
    assert broken(with_more(noise, 0.05, {"none": 0.8, "noise": 0.3, "blur": 0.4})) == ["robustness"]
    assert broken(with_more(noise, 0.05, {})) == ["robustness"]
    assert broken(good, num_bytes=11 * 2**20) == ["size"]
    assert broken(good, latency_ms=21.0) == ["latency"]
    assert broken(good, latency_ms=None) == ["latency"]
    # A damage under which nothing can be judged costs all.
    assert broken(with_more(noise, 0.05, {"none": 0.8, "noise": 0.8, "blur": None})) == ["robustness"]


def test_a_perfect_slice_that_is_lost_is_seen(noise: np.ndarray) -> None:
    config = LENIENT.model_copy(update={"slice_margin": 0.1})
    spread = np.abs(np.random.default_rng(0).normal(0, 0.01, 200))

    def errors(value: float) -> EvalReport:
        found = SliceReport(value=value, num_samples=50, replicates=tuple(value + spread))
        return report({"a": task(0.5, noise, "min", slices={"site": {"north": found}})})

    decision = decide(errors(5.0), errors(0.0), 1, config)
    assert failed(decision) == [("slices", "a")]
    assert "site north -100.00%" in decision.summary
    assert decide(errors(0.0), errors(0.0), 1, config).promote


def test_slices_of_too_few_targets_are_said_and_do_not_decide(noise: np.ndarray) -> None:
    config = LENIENT.model_copy(update={"slice_margin": 0.1})

    def sites(value: float) -> EvalReport:
        small = SliceReport(value=value, num_samples=2, replicates=())
        large = SliceReport(value=0.8, num_samples=60, replicates=(0.8, None) + (0.8,) * 198)
        return report({"a": task(0.8, noise, slices={"site": {"small": small, "large": large}})})

    decision = decide(sites(0.0), sites(1.0), 1, config)
    assert decision.promote
    (rule,) = [rule for rule in decision.rules if rule.name == "slices"]
    assert rule.found.startswith("worst of 1: site large +0.00%")
    assert "1 with fewer than 20 samples of the target cannot be judged" in rule.found


def test_the_decision_as_a_picture(noise: np.ndarray) -> None:
    champion = report({"a": task(0.8, noise), "b": task(0.8, noise)})
    decision = decide(report({"a": task(0.9, noise), "b": task(0.7, noise)}), champion, 1, GATE)
    picture = draw_decision(decision)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert draw_decision(decide(champion, None, None, GATE)) is None

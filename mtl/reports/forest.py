"""The gate's decision as a picture: every gain with its interval, beside what it is compared with."""

from __future__ import annotations

from mtl.reports.types import Decision

FARTHEST = 100.0
"""Per cent at either side of the plot: what reaches farther is cut off."""


def draw_decision(decision: Decision) -> bytes | None:
    """A forest plot as PNG; None if the decision compares nothing (the first version)."""
    rules = [rule for rule in decision.rules if rule.difference is not None]
    if not rules:
        return None
    from matplotlib import pyplot as plt

    from mtl.reports.figure import as_png

    figure, axis = plt.subplots(figsize=(7.5, 1.1 + 0.32 * len(rules)))
    for row, rule in enumerate(reversed(rules)):
        assert rule.difference is not None
        assert rule.low is not None
        assert rule.high is not None
        colour = "#087830" if rule.passed else "#b00020"
        axis.plot([100 * rule.low, 100 * rule.high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
        axis.plot(100 * rule.difference, row, "o", color=colour, markersize=6)
        if rule.bound is not None:
            axis.plot([100 * rule.bound] * 2, [row - 0.35, row + 0.35], color="k", linewidth=1.2)
    axis.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    names = [f"{rule.task or 'all tasks'}: {rule.name}" for rule in reversed(rules)]
    axis.set_yticks(range(len(rules)), names)
    reach = [100 * end for rule in rules for end in (rule.low or 0.0, rule.high or 0.0)]
    axis.set_xlim(max(min(reach) - 2, -FARTHEST), min(max(reach) + 2, FARTHEST))
    axis.set_xlabel("gain over the champion, % (black: what the gate compares with)")
    axis.set_title(f"{'promoted' if decision.promote else 'not promoted'}, against version {decision.champion}")
    axis.grid(axis="x", alpha=0.3)
    return as_png(figure)

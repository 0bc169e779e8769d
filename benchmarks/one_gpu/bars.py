"""What benchmarks/gpu.py's rows say: ratios, and whether they reach what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.one_gpu.cases import CASES, DEFAULT, RESNET50

Row = dict[str, Any]
H200 = "H200"
"""Speeds are asked for on this one; ratios on any."""


def speeds(rows: Sequence[Row], case: str, way: str) -> list[float]:
    """Images per second of a case by all ways whose name begins so."""
    return [
        r["images_per_second"] for r in rows if r["what"] == "step" and r["case"] == case and r["way"].startswith(way)
    ]


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """All ratios by name: what may be compared between machines of one kind."""
    found: dict[str, float] = {}
    for case in dict.fromkeys(row["case"] for row in rows if row["what"] == "step"):
        product, hand = speeds(rows, case, "product"), speeds(rows, case, "by hand")
        if product and hand:
            found[f"{case}: best of the product by best by hand"] = max(product) / max(hand)
        for row in rows:
            if row["what"] == "step" and row["case"] == case and hand:
                found[f"{case}: {row['way']} by best by hand"] = row["images_per_second"] / max(hand)
    for row in rows:
        if row["what"] == "method":
            found[f"step with {row['method']} by the sum's"] = row["ratio"]
        elif row["what"] in ("busy", "waiting") and row["share"] is not None:
            name = f"{row['case']}: {row['what']}" + (", compiled" if row.get("compiled") else "")
            found[name] = row["share"]
        elif row["what"] == "evaluation":
            found["scoring by its forward passes"] = row["ratio"]
        elif row["what"] == "recompute":
            found[f"{row['case']}: activations computed again by kept ones"] = row["ratio"]
            if row["memory"] is not None:
                found[f"{row['case']}: its memory by theirs"] = row["memory"]
        elif row["what"] == "codec" and row["ratio"] is not None:
            found[f"loading from shards in {row['codec']} by raw ones"] = row["ratio"]
    return found


def judged(rows: Sequence[Row], device: str) -> list[Row]:
    """Each bar with what was found: met, not met, or unmeasured. Nothing is claimed of a CPU."""
    on_gpu = not device.startswith("CPU")
    taken = rows if on_gpu else []
    found = [
        _bar(
            "ResNet-50: product by best by hand",
            0.92,
            ratios(taken).get(f"{RESNET50.name}: best of the product by best by hand"),
        ),
        _bar("ResNet-50: images/s", 1500, _best(speeds(taken, RESNET50.name, "product")), only=H200, device=device),
        _bar(
            "default, batch 32: images/s",
            5 * 536,
            _best(speeds(taken, DEFAULT.name, "product")),
            only=H200,
            device=device,
        ),
    ]
    for case in (case.name for case in CASES):
        shares = [r["share"] for r in taken if r["what"] == "busy" and r["case"] == case]
        found.append(_bar(f"{case}: GPU busy", 0.95, _best(shares)))
        waits = [r["share"] for r in taken if r["what"] == "waiting" and r["case"] == case and r["share"] is not None]
        found.append(_bar(f"{case}: waiting for the batch", 0.02, _best(waits), most=True))
    for level in ("features", "parameters"):
        these = [r for r in taken if r["what"] == "method" and r["level"] == level and not r.get("compiled")]
        worst = max(these, key=lambda r: r["ratio"], default=None)
        tasks = worst["tasks"] if worst else 6
        most = 1.10 if level == "features" else 1.1 * (1 + 2 * tasks) / 3
        name = f"slowest at the {level}" + (f" ({worst['method'].partition(', ')[0]})" if worst else "") + " by the sum"
        found.append(_bar(name, most, worst["ratio"] if worst else None, most=True))
    return found


def _best(values: Iterable[float]) -> float | None:
    return max(values, default=None)


def _bar(name: str, bar: float, value: float | None, *, most: bool = False, only: str = "", device: str = "") -> Row:
    verdict = "unmeasured"
    if value is not None:
        verdict = "met" if (value <= bar if most else value >= bar) else "not met"
        if only and only not in device:
            verdict = f"asked for on an {only} only"
    return {"name": name, "bar": bar, "at": "most" if most else "least", "found": value, "verdict": verdict}


def table(on: Row, rows: Sequence[Row], bars: Sequence[Row], cut: Sequence[str]) -> list[str]:
    """What a person reads."""
    lines = ["", f"{on['device']}, {on['cores']} cores, torch {on['torch']}, CUDA {on['cuda']}", ""]
    lines += [
        f"{r['case']:<22} {r['way']:<26} {r['ms']:8.1f} ms {r['images_per_second']:9.0f} images/s"
        for r in rows
        if r["what"] == "step"
    ]
    lines += ["", *(f"{name:<64} {value:8.3f}" for name, value in ratios(rows).items()), ""]
    for bar in bars:
        found = "–" if bar["found"] is None else f"{bar['found']:.3f}"
        lines.append(f"{bar['name']:<58} at {bar['at']:<5} {bar['bar']:8.2f} {found:>10}  {bar['verdict']}")
    lines += [
        "shards in another codec: unmeasured, this version has one"
        for r in rows
        if r["what"] == "codec" and not r["codec"]
    ]
    return lines + [f"cut: {one}" for one in cut]

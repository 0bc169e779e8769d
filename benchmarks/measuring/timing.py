"""Seconds of a step, and how much of them a GPU computes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import torch
from torch.profiler import ProfilerActivity, profile

Step = Callable[[], object]
CPU = torch.device("cpu")


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    step: Step, count: int, device: torch.device = CPU, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Of one step, over `count` of them in a row: nothing is waited for in between, as in a training."""
    wait(device)
    began = clock()
    for _ in range(count):
        step()
    wait(device)
    return (clock() - began) / count


def in_turns(
    steps: Mapping[str, Step],
    count: int,
    rounds: int,
    device: torch.device = CPU,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each step by round: all take turns, so that a round's ratios are of times that the machine was alike in."""
    for step in steps.values():
        seconds(step, warm, device)
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name in sorted(steps, reverse=bool(number % 2)):
            found[name].append(seconds(steps[name], count, device, clock))
    return found


def ratio(of: list[float], to: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How much of a line these spans cover, however they overlap."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def kernel_seconds(step: Step, count: int) -> float:
    """Seconds per step in which the GPU computes at least one kernel; copies do not count."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(count):
            step()
        torch.cuda.synchronize()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or ()
        if event.device_type.name == "CUDA"
        and not event.is_user_annotation
        and not event.name.startswith(("Memcpy", "Memset"))
    ]
    return covered(spans) / 1e6 / count  # they are in microseconds

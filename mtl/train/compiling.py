"""What of a training is compiled by torch.compile, how, and why.

The network, each task's loss and each task's counts of targets are graphs without a break. What several backward passes go
through, or FSDP gathers by itself, is cut there: each piece is a graph.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mtl.errors import TrainingError
from mtl.train.gradients import GradientMethod
from mtl.train.process_group import ProcessGroup
from mtl.train.sharding import sharded_parts

_LOG = logging.getLogger(__name__)

AUTO, OFF, DEFAULT, CAPTURED = "auto", "off", "default", "reduce-overhead"
BACKEND = "inductor"
FEW_STEPS = 2_000
"""Optimizer steps below which `auto` does not compile: they are over before the minutes that compiling takes have paid."""
LAUNCH_BOUND = 50_000_000_000
"""Multiply-adds of a forward pass of one worker's micro-batch, below which a GPU takes milliseconds for a step: as long as its
kernels take to launch."""
SHAPES = 64
"""For how many shapes of its inputs a function may be compiled. Batches have one size, and tables of rows room for a power of
two of them (`mtl.data.loading.padded.filled`), so there are few."""


@dataclass(frozen=True)
class Compiling:
    """mode: of torch.compile, or off. why: in words. optional: what cannot be compiled may run as it is."""

    mode: str
    why: str = ""
    optional: bool = False

    @property
    def said(self) -> str:
        """What a user is told at the start; empty where nobody would expect compiling."""
        if not self.why:
            return ""
        return f"not compiled: {self.why}" if self.mode == OFF else f"compiled, {self.mode}: {self.why}"


def choose(
    wish: str, world: ProcessGroup, *, deterministic: bool, steps: int, compares: bool, work: Callable[[], int]
) -> Compiling:
    """What `train.compile` means here.

    Args:
        steps: of the whole training, so that one that goes on is compiled as it was.
        compares: whether a step has a backward pass per task.
        work: → multiply-adds of a forward pass of this worker's micro-batch.
    """
    if wish != AUTO:
        return Compiling(wish, "" if wish == OFF else "train.compile asks for it")
    if world.device.type != "cuda":
        return Compiling(OFF)
    if deterministic:
        return Compiling(OFF, "train.deterministic, and kernels are chosen by how long they take")
    if steps < FEW_STEPS:
        return Compiling(OFF, f"{steps} steps are over before it has paid (from {FEW_STEPS:,} on)")
    if world.size == 1 and not compares and (amount := work()) < LAUNCH_BOUND:
        return Compiling(
            CAPTURED, f"{amount / 1e9:.1f} billion multiply-adds take no longer than to launch", optional=True
        )
    return Compiling(DEFAULT, "a GPU, and steps that are worth it", optional=True)


def compile_method(
    chosen: Compiling, method: GradientMethod, *, sharded: bool, deterministic: bool, cache: Path | None = None
) -> None:
    """Compile what a way to a gradient computes; what cannot be, for it reads on the host, is named and stays.

    Args:
        sharded: the model is divided by FSDP2.
        deterministic: kernels are not chosen by trying.
        cache: a folder of this account, in which compiled code is found again.
    """
    if cache is not None:  # torch's own lies where every account of the machine may put code before
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "compiled"))
    import torch._inductor.config

    torch._inductor.config.deterministic = deterministic
    compares = method.objective.config.compares_gradients
    if compares:
        _keep_what_is_saved()
    compiled = _compiler(chosen, speaks=method.world.first)
    left = [name for name, task in method.tasks.items() if task.on_host]
    if left and method.world.first:
        _LOG.info(f"train: not compiled: {', '.join(left)}, which waits for the host")
    for part in (part for name, part in method.parts.items() if name not in left):
        part.counts, part.loss = compiled(part.counts), compiled(part.loss)  # type: ignore[method-assign]
    if sharded:
        _each(sharded_parts(method.model, without=left), compiled)
    elif compares or left:
        method.model.compile_parts(compiled, left)
    else:
        method.model.compile_whole(compiled)


def _each(modules: list[nn.Module], compiled: Callable[..., Any]) -> None:
    """Modules by themselves: what FSDP does around each of them stays outside."""
    for module in modules:
        module.forward = compiled(module.forward)


def _keep_what_is_saved() -> None:
    """Before graphs that see several backward passes. A compiled one overwrites what it has saved (donated buffers). Switched
    off, it still does so if it was compiled before, by this process or in the cache on disk, whose keys do not tell (torch 2.13:
    wrong gradients, no error). So none of those are taken.
    """
    import torch._dynamo
    import torch._functorch.config
    import torch.compiler.config

    torch._functorch.config.donated_buffer = False
    torch.compiler.config.cache_key_tag = "no donated buffers"
    torch._dynamo.reset()


def _compiler(chosen: Compiling, *, speaks: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function → the same, compiled, all of it; what fails at that is named, and runs as it is or ends the training."""
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        name = getattr(function, "__qualname__", repr(function))
        options: dict[str, Any] = {"mode": chosen.mode, "recompile_limit": SHAPES, "isolate_recompiles": True}
        now = torch.compile(function, backend=BACKEND, fullgraph=True, dynamic=False, **options)

        @wraps(function)
        def run(*given: Any) -> Any:
            nonlocal now
            try:
                return now(*given)
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                if not chosen.optional:
                    raise _refused(chosen.mode, name, error) from error
                if speaks:
                    _LOG.warning(f"train: not compiled: {name} ({_first_line(error)})")
                now = function
                return function(*given)

        return run

    return compiled


def _refused(mode: str, name: str, error: Exception) -> TrainingError:
    return TrainingError(
        f"train.compile: {mode}: {name} cannot be compiled",
        found=_first_line(error),
        fix="set train.compile to off, or to auto, which leaves as it is what cannot be compiled",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__

"""What the workers of one training decide together."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from mtl.seeds import Stream, torch_seed


@dataclass(frozen=True)
class ProcessGroup:
    """This worker's place. Without a process group it is alone."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this worker writes files and speaks."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all workers, on each of them; in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def begin_sum(self, values: torch.Tensor) -> Callable[[], object]:
        """As `sum`, while other things are computed: it is done once what is returned was called."""
        if self.size == 1:
            return lambda: None
        work = dist.all_reduce(values, async_op=True)
        assert work is not None
        return work.wait

    def gather(self, value: Any) -> list[Any]:
        """Every worker's value, by rank, on each of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def highest(self, value: int) -> int:
        """The largest of all workers' small whole numbers, on each of them."""
        if self.size == 1:
            return value
        box = torch.tensor(value, device=self.device)
        dist.all_reduce(box, dist.ReduceOp.MAX)
        return int(box)

    def all_agree(self, value: torch.Tensor) -> torch.Tensor:
        """Whether a truth value (a scalar) is true on all workers: on each of them, and not read on the host."""
        if self.size == 1:
            return value
        box = value.to(torch.int32)
        dist.all_reduce(box, dist.ReduceOp.MIN)
        return box > 0

    def from_first(self, value: Any) -> Any:
        """The first worker's value, on each of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def set_up_torch(seed: int, threads: int, *, deterministic: bool) -> None:
    """Fix everything that can change a bit of the result on one kind of machine; or let it be as fast as it can."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.manual_seed(torch_seed(seed, Stream.INITIAL_WEIGHTS))
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not deterministic


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether forward passes run under bf16 autocast: asked for, or `auto` and the device has instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """oneDNN also accepts bf16 on AVX-512 machines that emulate it, slower than float32."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check()) or bool(torch.cpu._is_amx_tile_supported())  # pyright: ignore[reportPrivateUsage]

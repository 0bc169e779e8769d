"""What of a computation the host waits for: the operations that read the device, or copy between it and the host."""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

READS = {
    "_local_scalar_dense",
    "nonzero",
    "nonzero_static",
    "masked_select",
    "is_nonzero",
    "equal",
    "unique",
    "_unique2",
    "nms",
    "_linalg_check_errors",
}
"""Of ATen and torchvision; `item`, `tolist`, `bool` and an index by truth values come to these."""


class HostReads(TorchDispatchMode):
    """Within it, what this thread's operations wait for is recorded: `found`, each with where it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in READS or (name in ("_to_copy", "copy_") and _waits(result, args, kwargs or {})):
            frames = [f for f in traceback.extract_stack() if "/mtl/" in f.filename]
            self.found.append(f"{name} in " + ", ".join(f"{f.name}:{f.lineno}" for f in frames[-3:]))
        return result


def _waits(result: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a copy is between host and device, and not one that goes to the device by itself."""
    tensors = [value for value in tree_flatten((result, args))[0] if isinstance(value, torch.Tensor)]
    devices = {tensor.device.type for tensor in tensors}
    positional = any(value is True for value in args)  # copy_(source, non_blocking)
    alone = (kwargs.get("non_blocking") or positional) and result.device.type != "cpu"
    return len(devices) > 1 and not alone

"""Energy that a training takes, where the machine has a meter: NVML's of the GPU, RAPL's of the processor packages."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")


class Meter:
    """One worker's: its GPU, and, for the first worker of a node, the node's processors with all that runs on them.

    Args:
        device: on which the worker computes.
        first_of_node: whether it counts the processors.
    """

    def __init__(self, device: torch.device, first_of_node: bool, powercap: Path = POWERCAP) -> None:
        self._gpu = _gpu(device)
        self._packages = _packages(powercap) if first_of_node else []
        self._began = self._read()

    def joules(self) -> float | None:
        """Since this object was made; None if nothing is metered."""
        total, metered = 0.0, False
        for (wraps_at, before), (_, now) in zip(self._began, self._read(), strict=True):
            if before is not None and now is not None:
                metered = True
                total += now - before + (wraps_at if now < before else 0.0)
        return total if metered else None

    def _read(self) -> list[tuple[float, float | None]]:
        """(where the counter begins again, where it stands), in joules, of each."""
        found = [(_number(zone / "max_energy_range_uj") or 0.0, _number(zone / "energy_uj")) for zone in self._packages]
        if self._gpu is not None:
            import pynvml

            reading: float | None = None
            with contextlib.suppress(pynvml.NVMLError):
                reading = pynvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu) / 1e3
            found.append((0.0, reading))
        return found


def _gpu(device: torch.device) -> object:
    if device.type != "cuda":
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except pynvml.NVMLError:
        return None


def _packages(powercap: Path) -> list[Path]:
    """RAPL's zones of whole packages; their parts (cores, memory) are counted in them."""
    return [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]


def _number(path: Path) -> float | None:
    """Microjoules of a file as joules; None if it cannot be read (root alone may, on many machines)."""
    try:
        return int(path.read_text(encoding="ascii")) / 1e6
    except (OSError, ValueError):
        return None

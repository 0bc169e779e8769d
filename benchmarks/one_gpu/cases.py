"""Which networks benchmarks/gpu.py measures, at which sizes."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Case:
    """A network and its images.

    side: pixels. batch: images per step. count: steps in a row that are timed, in each of some rounds. mode: of torch.compile, for
    the loop by hand as for the product. tiny: whether these are sizes for a CPU.
    """

    network: str
    side: int
    batch: int
    count: int
    overrides: tuple[str, ...] = ()
    mode: str = "default"
    tiny: bool = False

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.network}@{self.side} b{self.batch}"

    def at(self, *, tiny: bool) -> Case:
        """At sizes for a CPU, or as it is."""
        return replace(self, side=64, batch=max(2, self.batch // 64), count=1, tiny=True) if tiny else self

    def settings(self, *more: str) -> list[str]:
        """As overrides of params.yaml."""
        precision, threads = ("float32", 1) if self.tiny else ("bf16", min(8, os.cpu_count() or 1))
        fixed = f"train.batch_size={self.batch}", f"train.precision={precision}", f"train.threads_per_worker={threads}"
        return [*fixed, *self.overrides, *more]


def _resnet(number: int, norm: str) -> tuple[str, ...]:
    return f"model.backbone={{type: timm, name: resnet{number}, norm: {norm}}}", "model.neck_channels=128"


RESNET50 = Case("resnet50", 224, 128, 6, _resnet(50, "batch"))
RESNET18 = Case("resnet18", 224, 256, 6, _resnet(18, "batch"))
DEFAULT = Case("default", 64, 32, 30, mode="reduce-overhead")
LARGE_BATCH = Case("default", 64, 512, 8, mode="reduce-overhead")
CASES = (DEFAULT, RESNET50, LARGE_BATCH, RESNET18)
"""In the order in which they are measured."""
METHODS = Case("resnet18", 224, 64, 2, _resnet(18, "group"))
TINY_METHODS = DEFAULT.at(tiny=True)
FIRST = ("famo", "gradnorm, features", "upgrad, features", "upgrad, parameters")
"""One method of each kind, measured before the others."""

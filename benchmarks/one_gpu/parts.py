"""What benchmarks/gpu.py measures, part by part: each gives rows, one as soon as it is known."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.measuring.by_hand import forward, tuned_loop
from benchmarks.measuring.product import Product, settings
from benchmarks.measuring.scenes import write_scenes
from benchmarks.measuring.timing import Step, in_turns, kernel_seconds, ratio, seconds
from benchmarks.one_gpu.cases import FIRST, METHODS, RESNET18, RESNET50, TINY_METHODS, Case
from mtl.config.choices import sections
from mtl.config.data import DataConfig

Row = dict[str, Any]
CODECS = ("raw", "jpeg", "webp", "lossless")
"""Of shards; the first leaves pixels as they are."""


@dataclass(frozen=True)
class Place:
    """Where it is measured, and at which sizes."""

    folder: Path
    device: torch.device
    tiny: bool

    @property
    def rounds(self) -> int:
        """Of each timing."""
        return 2 if self.tiny else 4

    def prepared(self, side: int) -> Path:
        """Scenes of a size."""
        return self.folder / str(side) / "prepared"

    def product(self, case: Case, *more: str, compiled: str = "") -> Product:
        """The project's training of a case."""
        return Product(settings(case.settings(*more), compiled), self.prepared(case.side), self.device)


def scenes(place: Place) -> Iterator[Row]:
    """Draw and prepare the images of all other parts."""
    sizes = {64: (64, 16)} if place.tiny else {64: (16_384, 1024), 224: (4096, 256)}
    for side, (train, others) in sizes.items():
        write_scenes(place.folder / str(side), side, train, others)
        yield {"what": "scenes", "side": side, "images": train}


def eager(place: Place, case: Case) -> Iterator[Row]:
    """The product and loops by hand in turns; the share of a step that waits for its batch, and that the GPU computes."""
    product = place.product(case)
    batch, tasks, config = product.batch, product.training.tasks, product.config
    plain, last = (tuned_loop(config, tasks, batch, channels_last=last) for last in (False, True))
    ways = {"product": product.step, "staying": product.stay, "by hand": plain, "by hand, channels_last": last}
    found = in_turns(ways, case.count, place.rounds, place.device, warm=1 if place.tiny else 4)
    staying = found.pop("staying")
    for way, times in found.items():
        yield _row(case, way, times)
    share = max(0.0, 1 - ratio(staying, found["product"])) if product.stays else None
    yield {"what": "waiting", "case": case.name, "share": share}
    if place.device.type == "cuda":
        yield _busy(case, product, found["product"])


def compiled(place: Place, case: Case) -> Iterator[Row]:
    """The loop by hand compiled, then the product."""
    product = place.product(case, compiled=case.mode)
    hand = tuned_loop(product.config, product.training.tasks, product.batch, channels_last=True, compiled=case.mode)
    for way, step in (("by hand, compiled", hand), ("product, compiled", product.step)):
        times = in_turns({way: step}, case.count, place.rounds, place.device, warm=4)[way]
        yield _row(case, way, times)
    if place.device.type == "cuda":
        yield _busy(case, product, times) | {"compiled": True}


def methods(place: Place, names: Sequence[str] = ()) -> Iterator[Row]:
    """Weightings and aggregators (all, if none is named) against the plain sum right before and after, on a batch that stays on
    the device."""
    case = TINY_METHODS if place.tiny else METHODS
    base = place.product(case, "objective={weighting: {type: fixed}}")
    every = objectives()
    for name in names or (*FIRST, *(n for n in every if n not in FIRST)):
        method = place.product(case, f"objective={every[name]}")
        steps = {"sum": base.stay, name: method.stay}
        found = in_turns(steps, case.count, place.rounds, place.device, warm=1 if place.tiny else 3)
        level = name.partition(", ")[2]
        row = {"what": "method", "case": case.name, "method": name, "level": level, "tasks": len(base.training.tasks)}
        yield row | {"ratio": ratio(found[name], found["sum"]), "with loading": not (base.stays and method.stays)}
        del method, steps
        gc.collect()


def compiled_methods(place: Place) -> Iterator[Row]:
    """A method of each level by the plain sum, both compiled."""
    base = place.product(METHODS, "objective={weighting: {type: fixed}}", compiled="default")
    for name in FIRST[2:]:
        method = place.product(METHODS, f"objective={objectives()[name]}", compiled="default")
        found = in_turns({"sum": base.stay, name: method.stay}, METHODS.count, place.rounds, place.device, warm=3)
        level = name.partition(", ")[2]
        row = {"what": "method", "case": METHODS.name, "method": f"{name}, compiled", "level": level}
        yield row | {"tasks": len(base.training.tasks), "ratio": ratio(found[name], found["sum"]), "compiled": True}
        del method
        gc.collect()


def recomputed(place: Place) -> Iterator[Row]:
    """A step whose stages compute their activations again by one that keeps them: its time, and of a GPU its memory."""
    case = TINY_METHODS if place.tiny else RESNET50
    times: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    for way in ("off", "stages"):
        product = place.product(case, f"train.activation_checkpointing={way}")
        if place.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        times |= in_turns({way: product.stay}, case.count, place.rounds, place.device, warm=1 if place.tiny else 3)
        if place.device.type == "cuda":
            peaks[way] = torch.cuda.max_memory_allocated()
        del product
        gc.collect()
    memory = peaks["stages"] / peaks["off"] if peaks else None
    yield {"what": "recompute", "case": case.name, "ratio": ratio(times["stages"], times["off"]), "memory": memory}


def objectives() -> dict[str, str]:
    """Method, and level where it has one → its section of params.yaml."""
    tables = sections()
    found: dict[str, str] = {}
    for name, section in tables["weightings"].items():
        levels = ("features", "parameters") if section.needs_gramian else ("",)
        for level in levels if name != "fixed" else ():
            which = f", level: {level}" if level else ""
            found[", ".join(filter(None, (name, level)))] = f"{{weighting: {{type: {name}}}{which}}}"
    for name, section in tables["aggregators"].items():
        levels = ("parameters",) if section.needs_jacobian else ("features", "parameters")
        for level in levels if section.compares_gradients else ():
            found[f"{name}, {level}"] = f"{{weighting: {{type: fixed}}, aggregator: {{type: {name}}}, level: {level}}}"
    return found


def evaluation(place: Place) -> Iterator[Row]:
    """Scoring a split against the forward passes that it cannot do without."""
    case = TINY_METHODS if place.tiny else RESNET18
    product = place.product(case, f"evaluate.batch_size={max(2, case.batch // 2)}")
    bare = forward(product.training.model, product.batch)
    images = product.score()
    times = {"score": [seconds(product.score, 1, place.device) for _ in range(place.rounds)]}
    times |= {"forward": [s * images / case.batch for s in in_turns({"f": bare}, 4, place.rounds, place.device)["f"]]}
    yield {
        "what": "evaluation", "case": case.name, "images_per_second": images / median(times["score"]),
        "ratio": median(times["score"]) / median(times["forward"]),
    }  # fmt: skip


def codecs(place: Place) -> Iterator[Row]:
    """Loading a batch from coded shards by loading it from pixels as they are, where shards can be coded."""
    if "codec" not in DataConfig.model_fields:
        yield {"what": "codec", "codec": "", "ratio": None}
        return
    case = TINY_METHODS if place.tiny else METHODS
    made: dict[str, Step] = {}
    for codec in CODECS:
        folder = write_scenes(place.folder / codec, case.side, 4 * case.batch, 8, codec)
        made[codec] = Product(settings(case.settings()), folder, place.device).load
    found = in_turns(made, case.count, place.rounds, place.device)
    for codec in CODECS[1:]:
        yield {"what": "codec", "codec": codec, "ratio": ratio(found[codec], found[CODECS[0]])}


def _row(case: Case, way: str, times: list[float]) -> Row:
    speed = case.batch / median(times)
    return {"what": "step", "case": case.name, "way": way, "ms": 1e3 * median(times), "images_per_second": speed}


def _busy(case: Case, product: Product, times: list[float]) -> Row:
    """Of kernels alone, by the seconds of steps that nothing looked into: a profiler makes them longer."""
    share = kernel_seconds(product.step, case.count) / median(times)
    return {"what": "busy", "case": case.name, "share": min(1.0, share)}

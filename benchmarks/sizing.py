"""A model of the pipeline from 1 to 256 GPUs and from 10⁶ to 10⁹ images: what takes how long, and what stops first.

    python -m benchmarks.sizing          (prints the tables of docs/sizing.md)

Nothing is run: constants are this project's measurements where there are such (docs/measurements.md); where there are none it says
so: a data sheet's, or a value to be replaced by one's own.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Constants:
    """Seconds, bytes, and where they are from."""

    gpu_images: float = 418.0
    """Images per second and GPU of six tasks on ResNet-50 at 224 pixels, bf16. Measured: one H200, a whole step with its loading, before
    loading and step were made for GPUs; a loop by hand reached 1,624. `benchmarks/gpu.py` measures it again."""
    loading: float = 199 / 307
    """Share of such a step that waits for its batch, at every level the same seconds. Measured with it."""
    shared_parameters: float = 24.1e6
    """Of that network. Counted."""
    tasks: int = 6
    """Of params.yaml."""
    parameter_level: float = (1 + 2 * 6) / 3
    """Step time of parameter-level aggregation by that of a plain sum: one forward and six backward passes of twice its cost. Computed;
    with three tasks it gives the 2.33 that was measured, on a CPU (benchmarks/step.py). On a GPU not measured."""
    feature_level: float = 1.05
    """The same at the features. Measured, CPU. On a GPU not measured."""
    node_gpus: int = 8
    """Data sheet, H100 class."""
    nvlink: float = 300e9
    """Bytes per second between GPUs of a node. Data sheet, H100 class, halved."""
    network: float = 25e9
    """Bytes per second of a node, 200 Gbit/s. Data sheet."""
    hop: float = 20e-6
    """Seconds of one hop of a ring between nodes. Not measured: a guess."""
    batch_per_gpu: int = 128
    """That of the measurement."""
    prepare_core: float = 2 * 77.7 / 50_000
    """Core-seconds of preparing a JPEG of 640×480. Measured."""
    prepare_second_core: float = 1.52 / 2
    """Efficiency of two cores. Measured; of more cores, and with a disk that does not keep up, not measured."""
    fetch: float = 67e-6
    """Processor seconds of indexing an image of a bucket, its listing included but no server's work: of a million, whose listing was made up.
    Measured, on two AVX-512 cores that others worked on too. Files of a folder that are read for the first time took 136e-6."""
    fetch_bytes: float = 390.0
    """Memory that grows with every image while its set is indexed: its name and version. Measured, 2·10⁵ to 10⁶ images of that bucket."""
    fetch_memory: float = 220e6
    """What it takes beside that. Measured."""
    unchanged: float = 5.5e-6
    """Processor seconds of finding out that a file on a disk has not changed. Measured."""
    unchanged_memory: float = 10e6
    """Memory of that, of any number of files. Measured."""
    near: float = 3.7e-6
    """Processor seconds of looking for near duplicates of an image by its hash, of ten million made-up hashes. Measured likewise."""
    near_memory: float = 460e6
    """Memory of that, hashes that are mapped from a file included. Measured likewise."""
    listing_part: float = 110.0
    """Bytes of what DVC sees of a set outside `data/`, for 1,024 files. Measured."""
    raw_bytes: float = 150e3
    """Of a photograph as JPEG. Not measured: put yours."""
    prepared_bytes: float = 256 * 256 * 3.0
    """Of its pixels. Computed."""
    shard_samples: int = 2048
    """Of params.yaml."""
    dvc_object: float = 38 / 4000
    """Seconds of pushing an object to S3. Not measured here: 38 s for 4,000 small files on another machine."""
    bucket: float = 1e9
    """Bytes per second of a node from a bucket. Not measured: put yours."""


def constants_table() -> list[str]:
    """Markdown: each constant, its value, and where it is from, as the line below it says."""
    (found,) = (node for node in ast.parse(inspect.getsource(Constants)).body if isinstance(node, ast.ClassDef))
    lines = ["| constant | value | where from |", "| --- | --- | --- |"]
    for node, below in itertools.pairwise(found.body):
        match node, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                lines.append(f"| {name} | {getattr(Constants(), name):,.5g} | {' '.join(said.split())} |")
            case _:
                pass
    return lines


def ring(num_bytes: float, gpus: int, c: Constants) -> float:
    """Seconds of one all-reduce: a ring within nodes, and one between them."""
    if gpus == 1:
        return 0.0
    inside = min(gpus, c.node_gpus)
    nodes = -(-gpus // c.node_gpus)
    seconds = 2 * (inside - 1) / inside * num_bytes / c.nvlink
    return seconds + (2 * (nodes - 1) / nodes * num_bytes / c.network + 2 * (nodes - 1) * c.hop if nodes > 1 else 0.0)


BY_HAND = 1624.0
"""Images per second of the same network, losses and optimizer by hand, its batch on the GPU. Measured with `gpu_images`."""


def tables() -> list[list[str]]:
    """All tables of docs/sizing.md."""
    fast = replace(Constants(), gpu_images=BY_HAND, loading=0.0)
    return [training_table(Constants()), training_table(fast), data_table(Constants()), constants_table()]


def step(gpus: int, level: str, c: Constants) -> tuple[float, float]:
    """Seconds of a step, and the share of it in which GPUs wait for the network."""
    whole = c.batch_per_gpu / c.gpu_images
    loading, compute = whole * c.loading, whole * (1 - c.loading)
    gradient = 4 * c.shared_parameters
    if level == "sum":  # reduced while the backward pass, two thirds of the time, still runs
        wait = max(0.0, ring(gradient, gpus, c) - compute * 2 / 3)
    elif level == "features":  # the Gramian first, then one gradient as above
        compute *= c.feature_level
        wait = ring(4.0 * c.tasks**2, gpus, c) + max(0.0, ring(gradient, gpus, c) - compute / 3)
    else:  # a gradient per task, each while the next one is computed
        passes = compute * c.parameter_level - compute / 3
        compute *= c.parameter_level
        one, most = ring(gradient, gpus, c), ring(gradient * c.tasks, gpus, c)
        wait = max(one, most - passes * (c.tasks - 1) / c.tasks)
    total = loading + compute + wait
    return total, wait / total


def training_table(c: Constants) -> list[str]:
    """Markdown: images per second and efficiency by number of GPUs and level."""
    lines = ["| GPUs | plain sum | features | parameters |", "| --- | --- | --- | --- |"]
    for gpus in (1, 8, 16, 64, 256):
        cells: list[str] = []
        for level in ("sum", "features", "parameters"):
            seconds, _ = step(gpus, level, c)
            alone, _ = step(1, level, c)
            cells.append(f"{gpus * c.batch_per_gpu / seconds:,.0f} /s, {alone / seconds:.0%}")
        lines.append(f"| {gpus} | {' | '.join(cells)} |")
    return lines


def data_table(c: Constants) -> list[str]:
    """Markdown: what the data cost by number of images."""
    lines = [
        "| | " + " | ".join(f"10{mark} images" for mark in ("⁶", "⁷", "⁸", "⁹")) + " |",
        "| --- | --- | --- | --- | --- |",
    ]
    sizes = (10**6, 10**7, 10**8, 10**9)

    def row(name: str, value: object) -> None:
        lines.append(f"| {name} | " + " | ".join(value(n) for n in sizes) + " |")  # type: ignore[operator]

    row("raw, 150 kB each", lambda n: _bytes(n * c.raw_bytes))
    row("prepared, 256×256", lambda n: _bytes(n * c.prepared_bytes))
    row("index in memory (fetch)", lambda n: _bytes(c.fetch_memory + n * c.fetch_bytes))
    row("index, one process", lambda n: _time(n * c.fetch))
    row("prepare all, 64 cores", lambda n: _time(n * c.prepare_core / (64 * c.prepare_second_core)))
    row("prepare 1 % new, 64 cores", lambda n: _time(n * 0.01 * c.prepare_core / (64 * c.prepare_second_core)))
    row("nothing new: one look at files", lambda n: _time(n * c.unchanged))
    row("its memory", lambda _: _bytes(c.unchanged_memory))
    row("listing that DVC sees", lambda n: _bytes(n / 1024 * c.listing_part))
    row("near duplicates, one process", lambda n: _time(n * c.near))
    row("shards (DVC objects)", lambda n: f"{-(-n // c.shard_samples):,}")
    row(
        "push all, one after another",
        lambda n: _time(n / c.shard_samples * c.dvc_object + n * c.prepared_bytes / c.bucket),
    )
    row("pull to a node", lambda n: _time(n * c.prepared_bytes / c.bucket))
    row("an epoch on 8 GPUs", lambda n: _time(n / (8 * c.batch_per_gpu / step(8, "sum", c)[0])))
    row("an epoch on 256 GPUs", lambda n: _time(n / (256 * c.batch_per_gpu / step(256, "sum", c)[0])))
    return lines


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} PB"


def _time(seconds: float) -> str:
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


if __name__ == "__main__":
    print("\n\n".join("\n".join(table) for table in tables()))

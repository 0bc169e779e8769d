"""Predictions for many images: in this process if they are few, else with Ray Data on this machine's cores; or on a cluster.

Images are taken in chunks. A chunk's results are written as a whole by whoever made them, under a name made from the model
and the chunk's images: what is there need not be made again, so a run that was killed goes on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mtl.cluster.session import cluster
from mtl.config.params import Config
from mtl.errors import DataError
from mtl.logs import of
from mtl.package import BUNDLE
from mtl.package.predictor import Predictor
from mtl.reports.events import ProgressEvent
from mtl.reports.prediction import Counts
from mtl.serving.export import ERROR, FILE, PATH
from mtl.serving.overlay import drawn_as_png
from mtl.serving.picture_names import picture_names
from mtl.serving.sources import Chosen, Reader
from mtl.storage.store import Store
from mtl.tasks.answers import answer_of

_LOG = logging.getLogger(__name__)

CHUNK = 128
"""Images that are predicted and written together."""
FEW = 2
"""Chunks that are done sooner in this process than a local Ray has started, and each of its processes has imported torch."""
PICTURES = ("masks", "overlays")
"""Formats with files per image."""


def predict_all(
    config: Config,
    package: Path,
    chosen: Sequence[Chosen],
    out: str,
    formats: Sequence[str],
) -> Counts:
    """Write `parts/<key>.parquet`, and what else is asked for, under `out` (a folder or a bucket).

    Pictures are `masks/<task>/<name>.png` and `overlays/<name>.png`; the table's column `_file` has the name.

    Rows of images that could not be read have an `_error`.
    """
    bundle = package / BUNDLE
    model = model_digest(bundle)
    names = picture_names(chosen) if {*formats} & {*PICTURES} else [""] * len(chosen)
    named = [*zip(chosen, names, strict=True)]
    chunks = [named[i : i + CHUNK] for i in range(0, len(named), CHUNK)]
    keys = [_key(model, chunk, formats) for chunk in chunks]
    store = Store(out)
    missing = [(key, chunk) for key, chunk in zip(keys, chunks, strict=True) if f"parts/{key}.json" not in store]
    skipped = len(chosen) - sum(len(chunk) for _, chunk in missing)
    if skipped:
        _LOG.info(f"predict: {skipped} of {len(chosen)} images are done already")
    done = skipped
    for row in _run(config, bundle, missing, out, formats) if missing else ():
        done += row["images"]
        event = ProgressEvent(done=done, total=len(chosen), unit="images")
        _LOG.info(f"predict: {done}/{len(chosen)} images", extra=of(event))
    failed = sum(json.loads(store.get(f"parts/{key}.json"))["failed"] for key in keys)
    store.put(
        "index.json", json.dumps({"model": model, "parts": keys, "images": len(chosen), "failed": failed}).encode()
    )
    return Counts(images=len(chosen), failed=failed, made=len(chosen) - skipped)


def model_digest(bundle: Path) -> str:
    """Of a bundle's files."""
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in sorted(bundle.iterdir())]
    return hashlib.sha256(b"".join(digests)).hexdigest()


Named = tuple[Chosen, str]
"""An image, and the name of its pictures; empty if there are none."""


def _key(model: str, chunk: Sequence[Named], formats: Sequence[str]) -> str:
    content = [[one.label, one.version, *([name] if name else [])] for one, name in chunk]
    return hashlib.sha256(json.dumps([model, sorted(formats), content]).encode()).hexdigest()[:24]


def _run(
    config: Config,
    bundle: Path,
    missing: Sequence[tuple[str, Sequence[Named]]],
    out: str,
    formats: Sequence[str],
) -> Iterator[dict[str, Any]]:
    items = [{"key": key, "chunk": json.dumps([[asdict(one), name] for one, name in chunk])} for key, chunk in missing]
    if config.cluster.address == "local" and len(items) <= FEW:
        # As many threads as a process of Ray's has: the same answers, to the last bit.
        torch.set_num_threads(config.train.threads_per_worker)
        yield from map(ChunkPredictor(bundle, out, tuple(formats)), items)
        return
    # A cluster's nodes do not see this folder: the model travels to them.
    model = bundle if config.cluster.address == "local" else {p.name: p.read_bytes() for p in bundle.iterdir()}
    with cluster(config) as ray:
        import ray.data as data
        from ray.data import ActorPoolStrategy, DataContext

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        DataContext.get_current().enable_progress_bars = False  # our own lines say how far it is
        workers = max(1, min(len(items), int(ray.cluster_resources().get("CPU", 1)) - 1))
        rows = data.from_items(items, override_num_blocks=len(items)).map(
            ChunkPredictor,  # pyright: ignore[reportArgumentType]
            fn_constructor_args=(model, out, tuple(formats)),
            compute=ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        yield from rows.iter_rows()


class ChunkPredictor:
    """In a process of Ray's: a model, to which chunks are given."""

    def __init__(self, model: dict[str, bytes] | Path, out: str, formats: tuple[str, ...]) -> None:
        self.store, self.formats = Store(out), formats
        self._reader = Reader()
        if isinstance(model, Path):
            self.predictor = Predictor(model)
            return
        with tempfile.TemporaryDirectory() as scratch:
            for name, data in model.items():
                Path(scratch, name).write_bytes(data)
            self.predictor = Predictor(Path(scratch))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        named = [(Chosen(**one), name) for one, name in json.loads(row["chunk"])]
        chunk, names = [one for one, _ in named], [name for _, name in named]
        images = [self._read(one) for one in chunk]
        answers = iter(self.predictor.answers([image for image in images if isinstance(image, bytes)]))
        results = [next(answers) if isinstance(image, bytes) else image for image in images]
        failed = sum(isinstance(result, DataError) for result in results)
        for name, image, result in zip(names, images, results, strict=True):
            if isinstance(image, bytes) and not isinstance(result, DataError):
                self._pictures(name, image, result)
        self.store.put(f"parts/{row['key']}.parquet", as_parquet(chunk, results, self.predictor, names))
        done = {"images": len(chunk), "failed": failed}
        self.store.put(f"parts/{row['key']}.json", json.dumps(done).encode())  # last: with it, the chunk is done
        return done

    def _read(self, one: Chosen) -> bytes | DataError:
        try:
            return self._reader.read(one.root, one.name)
        except DataError as error:
            return error

    def _pictures(self, name: str, image: bytes, row: dict[str, Any]) -> None:
        tasks = self.predictor.tasks
        for task in tasks if "masks" in self.formats else ():
            if answer_of(tasks[task]).is_file:
                self.store.put(f"masks/{task}/{name}.png", base64.b64decode(row[task]))
        if "overlays" in self.formats:
            self.store.put(f"overlays/{name}.png", drawn_as_png(self.predictor, image, row))


def as_parquet(
    chunk: Sequence[Chosen],
    results: Sequence[dict[str, Any] | DataError],
    predictor: Predictor,
    names: Sequence[str] = (),
) -> bytes:
    """A row per image: `_path`, `_error` (null if all went well), `_file` (the name of its pictures, if there are any), and the
    columns of `Predictor.predict`, null if not.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {
        PATH: [_text(one.label) for one in chunk],
        ERROR: [_text(str(result)) if isinstance(result, DataError) else None for result in results],
    }
    if any(names):
        columns[FILE] = [None if isinstance(r, DataError) else name for name, r in zip(names, results, strict=True)]
    schema = [pa.field(column, pa.string()) for column in columns]
    fields = (field for name, task in predictor.tasks.items() for field in answer_of(task).fields(name))
    for name, kind in fields:
        columns[name] = [None if isinstance(result, DataError) else result[name] for result in results]
        schema.append(pa.field(name, kind))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=pa.schema(schema)), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _text(text: str) -> str:
    r"""A path as a table takes it: bytes of a name that are no UTF-8 as `\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

"""From the parts of a batch prediction to one table, and to COCO results."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.storage.store import Store
from mtl.tasks import Task
from mtl.tasks.answers import answer_of

PATH, ERROR, FILE = "_path", "_error", "_file"
"""Columns beside the tasks', whose names begin with a letter."""


def tables(store: Store) -> Iterator[Any]:
    """The parts that the last run's index names, in order, a table each."""
    for key in json.loads(store.get("index.json"))["parts"]:
        yield pq.read_table(io.BytesIO(store.get(f"parts/{key}.parquet")))


def write_table(store: Store) -> None:
    """predictions.parquet: all parts in one."""
    sink = pa.BufferOutputStream()
    writer: Any = None
    for table in tables(store):
        writer = writer or pq.ParquetWriter(sink, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
    store.put("predictions.parquet", sink.getvalue().to_pybytes())


def write_coco(store: Store, tasks: dict[str, Task]) -> None:
    """coco_<task>.json for each task whose answers are objects: images, categories, and annotations with a score and a box x,
    y, width, height.
    """
    for name, task in tasks.items():
        answer = answer_of(task)
        if not answer.in_coco:
            continue
        numbers = {label: i + 1 for i, label in enumerate(task.target.classes)}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for table in tables(store):
            for row in table.select([PATH, name]).to_pylist():
                images.append({"id": len(images) + 1, "file_name": row[PATH]})
                for found in answer.objects(row[name] or (), numbers):
                    annotations.append({"id": len(annotations) + 1, "image_id": images[-1]["id"], **found})
        categories = [{"id": number, "name": label, **answer.category(task)} for label, number in numbers.items()]
        document = {"images": images, "annotations": annotations, "categories": categories}
        store.put(f"coco_{name}.json", json.dumps(document).encode())

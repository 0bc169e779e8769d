"""Where a data set of Hugging Face's keeps its rows: Arrow files that were saved to disk, Parquet files as on the hub, or a
`metadata` file beside images. What its columns are, the files say themselves, or its card.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.data.formats.base import split_of
from mtl.data.formats.hf_metadata import check_names, is_metadata, metadata_features, metadata_table
from mtl.data.formats.named_images import split_of_table
from mtl.data.formats.parquet_rows import batches
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

ROWS = 64
"""Read at a time: images may be large."""
STATES = ("state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json")
"""What is written beside the rows."""
_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}")


def splits_of(tree: FileTree) -> dict[str, list[str]]:
    """Split → its files, in order.

    Raises:
        DataError: there are none, they are several data sets, or the list of them is damaged.
    """
    splits: dict[str, list[str]] = {}
    files = [file for file in tree.names(suffixes=(".parquet",)) if not is_metadata(file)]
    configurations = {_configuration(file) for file in files}
    if len(configurations) > 1:
        names = ", ".join(sorted(configurations))
        fix = "name one of them: path: …/" + max(configurations)
        raise DataError(f"{tree.path} has several data sets of Parquet files", found=names, fix=fix)
    for file in files:
        splits.setdefault(_split(file), []).append(file)
    saved = {} if splits or not tree.names(suffixes=(".arrow",)) else _saved(tree)
    described = [] if splits or saved else [file for file in tree.names() if is_metadata(file)]
    for file in described:
        splits.setdefault(PurePosixPath(file).parent.name or "all", []).append(file)
    if not (splits or saved):
        raise DataError(
            f"{tree.path} cannot be read",
            found="neither Parquet files, nor a dataset_dict.json or state.json, nor a metadata.csv or .jsonl",
            fix="name the folder that save_to_disk or to_parquet wrote",
        )
    return splits or saved


def _configuration(file: str) -> str:
    """The folders of a Parquet file that are no split's and not `data`."""
    parts = PurePosixPath(file).parent.parts
    return "/".join(part for part in parts if part != "data" and split_of(part.removeprefix("partial-")) is None)


def _split(file: str) -> str:
    """<split>-00000-of-00001.parquet, as the hub writes them, or a folder per split."""
    stem = PurePosixPath(file).stem
    found = _SHARD.match(stem)
    name = found["split"] if found else stem
    if split_of(name) or (found and split_of_table(name)):
        return name
    first = stem.split("-")[0]
    return first if split_of(first) else PurePosixPath(file).parent.name or "all"


def _saved(tree: FileTree) -> dict[str, list[str]]:
    """What save_to_disk wrote, of one split or of several."""
    splits: dict[str, list[str]] = {}
    try:
        if "dataset_dict.json" in tree:
            folders = [f"{name}/" for name in json.loads(tree.read("dataset_dict.json"))["splits"]]
        else:
            states = [name for name in tree.names() if name.rpartition("/")[2] == "state.json"]
            folders = [name.removesuffix("state.json") for name in states]
        for folder in folders:
            state = json.loads(tree.read(f"{folder}state.json"))
            if state.get("_indices_files") or state.get("_indices_data_files"):
                fix = "flatten_indices() it, and save it again"
                raise DataError(f"{folder or tree.path} is a selection of rows, which is not read", fix=fix)
            name = PurePosixPath(folder).name if folder else "all"
            splits[name] = [f"{folder}{file['filename']}" for file in state["_data_files"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{tree.path} is no data set that was saved to disk",
            found=f"{type(error).__name__}: {error}",
            fix="save it again with save_to_disk, or to_parquet",
        ) from error
    return splits


def features_of(tree: FileTree, file: str) -> dict[str, object]:
    """Column → what it is, as `datasets` reads it from the file's own description; of Parquet without one, as the card says.

    Raises:
        DataError: the file cannot be read.
    """
    from datasets import Features

    try:
        if is_metadata(file):
            return metadata_features(tree, file)
        with tree.opened(file) as source:
            schema = (
                pa.ipc.open_stream(source).schema if file.endswith(".arrow") else pq.ParquetFile(source).schema_arrow
            )
        check_names(file, schema.names)
        features = dict(Features.from_arrow_schema(schema))
    except DataError:
        raise
    except Exception as error:  # pyarrow and datasets raise many kinds
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error
    if b"huggingface" in (schema.metadata or {}):
        return features
    said = _card(tree)
    return {name: said.get(name, feature) for name, feature in features.items() if name}


def _card(tree: FileTree) -> dict[str, object]:
    """What README.md or dataset_infos.json says of the columns; nothing if neither does."""
    from datasets.info import DatasetInfosDict

    with TemporaryDirectory() as folder:
        for name in ("README.md", "dataset_infos.json"):
            if name in tree:
                Path(folder, name).write_bytes(tree.read(name))
        try:
            infos = [info for info in DatasetInfosDict.from_directory(folder).values() if info.features]
        except Exception:  # a card is written by people
            return {}
    return dict(infos[0].features) if len(infos) == 1 and infos[0].features else {}


def rows_of(tree: FileTree, file: str, columns: Sequence[str]) -> Iterator[dict[str, object]]:
    """The rows, some of which are in memory at a time.

    Raises:
        DataError: the file is damaged.
    """
    try:
        if is_metadata(file):
            yield from metadata_table(tree, file).select([*columns]).to_pylist()
            return
        with tree.opened(file) as source:
            if file.endswith(".arrow"):
                parts = (_sound(batch).select([*columns]) for batch in pa.ipc.open_stream(source))
            else:
                size = source.seek(0, os.SEEK_END)
                source.seek(0)
                parts = batches(file, pq.ParquetFile(source, pre_buffer=False), size, columns, ROWS)
            for batch in parts:
                for start in range(0, batch.num_rows, ROWS):
                    yield from batch.slice(start, ROWS).to_pylist()
    except (pa.ArrowException, OSError, ValueError, LookupError, MemoryError) as error:  # damage may claim any size
        raise DataError(f"{file} cannot be read", found=f"{type(error).__name__}: {error}") from error


def _sound(batch: Any) -> Any:
    """Arrow reads offsets as they are: wrong ones would reach out of memory."""
    batch.validate(full=True)
    return batch

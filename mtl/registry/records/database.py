"""MLflow's records in the database of an embedded registry."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mtl.registry.records.entities import ReadData, ReadExperiment, ReadInfo, ReadRun, ReadVersion
from mtl.registry.records.source import RUN_DATA, NotPlain, copied, pairs

SCHEMA = "dc11669786a5"
"""Of the pinned MLflow's database."""
DELETED = "Deleted_Internal"
"""The stage of a version that was deleted."""
Row = dict[str, Any]
"""Column → value, of the type that the schema says."""


class Database:
    """MLflow's database in a file."""

    def __init__(self, uri: str) -> None:
        self._path = Path(uri.removeprefix("sqlite:///"))

    def experiment(self, name: str) -> ReadExperiment | None:
        found = self._rows("select experiment_id, name, artifact_location, lifecycle_stage from experiments where "
                           "name = ? and workspace = 'default'", name)  # fmt: skip
        if not found:
            return None
        (row,) = found
        tags = self._rows("select key, value from experiment_tags where experiment_id = ?", row["experiment_id"])
        row |= {"experiment_id": str(row["experiment_id"]), "tags": pairs(tags)}
        return ReadExperiment(**row)

    def run(self, run: str) -> ReadRun:
        row = self._one("select run_uuid as run_id, experiment_id, status, lifecycle_stage, artifact_uri "
                        "from runs where run_uuid = ?", run)  # fmt: skip
        data = {name: pairs(self._rows(f"select key, value from {name} where run_uuid = ?", run)) for name in RUN_DATA}
        row["experiment_id"] = str(row["experiment_id"])
        return ReadRun(ReadInfo(**row), ReadData(**data))

    def version(self, model: str, number: str) -> ReadVersion:
        where = "name = ? and version = ? and workspace = 'default'"
        row = self._one(f"select name, version, source, run_id, creation_time as creation_timestamp from model_versions where {where} "
                        "and current_stage != ?", model, number, DELETED)  # fmt: skip
        tags = self._rows(f"select key, value from model_version_tags where {where}", model, number)
        row["tags"] = pairs(tags)
        return ReadVersion(**row)

    def alias(self, model: str, alias: str) -> ReadVersion | None:
        found = self._rows("select version from registered_model_aliases where name = ? and alias = ? and "
                           "workspace = 'default'", model, alias)  # fmt: skip
        return self.version(model, str(found[0]["version"])) if found else None

    def artifact(self, uri: str, path: str, folder: Path) -> Path:
        return copied(uri, path, folder)

    def _one(self, query: str, *values: str) -> Row:
        found = self._rows(query, *values)
        if len(found) != 1:
            raise NotPlain
        return found[0]

    def _rows(self, query: str, *values: str) -> list[Row]:
        """What a query finds, in a database that is as we know it."""
        if not self._path.is_file() or os.environ.get("MLFLOW_WORKSPACE"):
            raise NotPlain
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                if database.execute("select version_num from alembic_version").fetchall() != [(SCHEMA,)]:
                    raise NotPlain
                found = database.execute(query, values)
                names = [column[0] for column in found.description]
                return [dict(zip(names, row, strict=True)) for row in found]
        except sqlite3.Error as error:
            raise NotPlain from error

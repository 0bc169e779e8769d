"""What is killed, and when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One moment of one process.

    state: what is there at the beginning: nothing ("fresh"), or the outputs of the stages up to one; call: kill the
    process that calls a function, as tests/faults/inject has it; line and process: when a line of the output has this in
    it, kill the process whose command has that in it; signal: SIGKILL if not said.
    """

    name: str
    killed: str
    state: str = "fresh"
    call: str = ""
    line: str = ""
    process: str = ""
    signal: str = "SIGKILL"


def stage(name: str, killed: str, call: str, state: str) -> Point:
    """A point inside the process of one stage."""
    return Point(name, killed, state, f"{call}:stages/{name.split(':')[0]}")


BEFORE, AFTER = "mtl.stages:run_stage:before:1", "mtl.stages:run_stage:after:1"
STATE = {"fetch": "fresh", "prepare": "fetch", "train": "prepare", "evaluate": "train", "package": "evaluate"}
EDGES = [
    stage(f"{name}: {when}", "stage process", call, state)
    for name, state in STATE.items()
    for when, call in (("start", BEFORE), ("end", AFTER))
]
MIDDLES = [
    stage("fetch: between two splits", "stage process", "mtl.data.raw.rows:write_split:after:1", "fresh"),
    stage(
        "fetch: inside a split's file", "stage process", "pyarrow.parquet.core:ParquetWriter.close:before:1", "fresh"
    ),
    stage("prepare: between two shards", "stage process", "mtl.data.shards.shards:write:after:2", "fetch"),
    stage("prepare: before the manifest", "stage process", "mtl.data.shards.manifest:Journal.finish:before:1", "fetch"),
    stage("evaluate: before its report", "stage process", "mtl.evaluate.tables:write_tables:before:1", "train"),
    stage("package: inside the package", "stage process", "mtl.package.bundle:write_bundle:after:1", "evaluate"),
]
TRAINING = [
    Point("train: driver in mid-epoch", "Ray driver", "prepare", line="train: step 10/", process="mtl.stages.train"),
    Point("train: first worker", "Ray worker", "prepare", line="train: step 10/", process="RayTrainWorker"),
    Point("train: told to leave", "Ray worker", "prepare", "", "train: step 10/", "RayTrainWorker", "SIGTERM"),
    Point("train: controller", "Ray controller", "prepare", line="train: step 10/", process="TrainController"),
    Point("train: raylet", "Ray node", "prepare", line="train: step 10/", process="raylet/raylet"),
    Point("train: head", "Ray head", "prepare", line="train: step 10/", process="gcs/gcs_server"),
    Point("checkpoint: before the state", "Ray worker", "prepare", "mtl.train.checkpoint:Checkpoints._write:before:2"),
    Point(
        "checkpoint: state written, not in place", "Ray worker", "prepare", "mtl.storage.store:Store.put_file:before:2"
    ),
    Point("checkpoint: state in place, no manifest", "Ray worker", "prepare", "mtl.storage.store:Store.put:before:3"),
    Point(
        "checkpoint: before the oldest goes",
        "Ray worker",
        "prepare",
        "mtl.train.checkpoint:Checkpoints._prune:before:3",
    ),
    Point("result: before its weights", "Ray worker", "prepare", "mtl.train.worker:write_final:before:1"),
    Point("result: before its manifest", "Ray worker", "prepare", "mtl.train.worker:write_manifest:before:1"),
]
DVC = [
    Point("dvc: while a stage runs", "DVC process", "prepare", line="train: step 10/", process="dvc repro"),
    Point("dvc: before an output is cached", "DVC process", "fetch", "dvc.output:Output.commit:before:1"),
    Point("dvc: between two outputs", "DVC process", "evaluate", "dvc.output:Output.commit:after:1"),
    Point("dvc: before dvc.lock", "DVC process", "fetch", "dvc.dvcfile:ProjectFile._dump_lockfile:before:1"),
    Point("dvc: after dvc.lock", "DVC process", "fetch", "dvc.dvcfile:ProjectFile._dump_lockfile:after:1"),
    Point("dvc: before push", "DVC process", "package", "dvc.repo:Repo.push:before:1"),
    Point("dvc: inside push", "DVC process", "package", "dvc_objects.fs.generic:transfer:after:3"),
]
FLOW = [
    Point("flow: before its run", "flow process", "fresh", "mtl.registry.tracking:Tracker.open_run:before:1"),
    Point(
        "flow: tables of the registry half made",
        "flow process",
        "package",
        "mlflow.store.db.utils:_initialize_tables:after:1",
    ),
    Point("flow: after its run", "flow process", "package", "mtl.registry.tracking:Tracker.open_run:after:1"),
    Point("flow: in mid-training", "flow process", "prepare", line="train: step 10/", process="flows.cli"),
    Point(
        "flow: told to end in mid-training", "flow process", "prepare", "", "train: step 10/", "flows.cli", "SIGTERM"
    ),
    Point("flow: interrupted in mid-training", "flow process", "prepare", "", "train: step 10/", "flows.cli", "SIGINT"),
    Point("register: before", "flow process", "package", "mtl.registry.registry:Registry.register:before:1"),
    Point(
        "register: metrics without lineage",
        "flow process",
        "package",
        "mtl.registry.tracking:Tracker.log_lineage:before:1",
    ),
    Point(
        "register: lineage, no version", "flow process", "package", "mtl.registry.tracking:Tracker.log_lineage:after:1"
    ),
    Point(
        "register: model uploaded, no version",
        "flow process",
        "package",
        "mtl.registry.registry:Registry._upload:after:1",
    ),
    Point(
        "register: version, not in the ledger",
        "flow process",
        "package",
        "mtl.registry.registry:Registry._create:after:1",
    ),
    Point("register: version in the ledger", "flow process", "package", "mtl.registry.ledger:Ledger.write:after:1"),
    Point("register: run not finished", "flow process", "package", "mtl.registry.tracking:Tracker.finish:before:1"),
    Point("gate: before", "flow process", "package", "mtl.gate:decide:before:1"),
    Point("promote: before its entry", "flow process", "package", "mtl.registry.promotion:Promotions._write:before:1"),
    Point("promote: entry, no alias", "flow process", "package", "mtl.registry.promotion:Promotions._write:after:1"),
    Point("promote: alias, no record", "flow process", "package", "mtl.registry.promotion:Promotions._settle:after:1"),
    Point("promote: before the report", "flow process", "package", "mtl.reports.page:write_page:before:1"),
    Point(
        "promote: before the decision's record",
        "flow process",
        "package",
        "mtl.registry.registry:Registry.log_decision:before:1",
    ),
    Point(
        "promote: after the decision's record",
        "flow process",
        "package",
        "mtl.registry.registry:Registry.log_decision:after:1",
    ),
]
SERVERS = [
    Point(
        "Prefect server: in mid-training", "Prefect server", "prepare", line="train: step 10/", process="server:prefect"
    ),
    Point(
        "MLflow server: in mid-training", "MLflow server", "prepare", line="train: step 10/", process="server:mlflow"
    ),
    Point("MLflow server: at registration", "MLflow server", "package", line="push: done", process="server:mlflow"),
    Point("Postgres: in mid-training", "database", "prepare", line="train: step 10/", process="server:postgres"),
    Point("object store: before push", "object store", "evaluate", line="package", process="server:store"),
]
POINTS = [*EDGES, *MIDDLES, *TRAINING, *DVC, *FLOW]

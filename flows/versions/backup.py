"""Back-up of the registry (MLflow's database and artifacts), and its restoration.

TARGET/files/SHA256 has every artifact once, whatever the number of back-ups; TARGET/TIME/ has the database and, written last, the
list of artifacts, signed with the key that signs packages. The database is copied first: artifacts are only ever added, so all that it names is copied after it.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import fsspec
from pydantic import Field
from sqlalchemy import make_url

from flows.checks import can_sign, refuse, writable
from flows.registry.artifact_addresses import Moved, rewritten
from flows.registry.load import addresses
from flows.settings import Settings
from flows.stack.servers import program
from flows.versions.backup_list import MANIFEST, STATEMENT, BackUpList, facts_of, signature
from mtl.errors import BusyError, RegistryError
from mtl.reports.types import Report
from mtl.storage.digest import bytes_sha256
from mtl.storage.store import Store

_LOG = logging.getLogger(__name__)

DATABASE, FILES = "database", "files"


class BackUp(Report):
    """What a back-up has made."""

    name: str
    artifacts: int
    copied: int = Field(description="artifacts that no earlier back-up had")
    bytes: int = Field(description="of the database, compressed")


def back_up(settings: Settings, target: str) -> BackUp:
    """Copy the registry to a folder or bucket; what an earlier back-up holds is not copied again.

    Raises:
        RegistryError: the database cannot be read.
        StageError, TrainingError: the target cannot be written.
    """
    database, artifacts = addresses(settings)
    refuse([partial(can_sign, settings), partial(writable, target, "the back-up's place")])
    store = Store(target)
    name = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    dump = gzip.compress(_dump(database), mtime=0)
    store.put(f"{name}/{DATABASE}", dump)
    fs, root = fsspec.core.url_to_fs(artifacts)
    known, files, copied = set(store.child(FILES).names()), dict[str, str](), 0
    for path in sorted(fs.find(root)) if fs.exists(root) else []:
        data = fs.cat_file(path)
        digest = bytes_sha256(data)
        files[path.removeprefix(root).lstrip("/")] = digest
        if digest not in known:
            store.put(f"{FILES}/{digest}", data)
            known.add(digest)
            copied += 1
    kind = make_url(database).get_backend_name()
    facts = BackUpList(name=name, database=bytes_sha256(dump), kind=kind, files=files)
    manifest = json.dumps(facts.model_dump(), indent=1).encode()
    store.put(f"{name}/{STATEMENT}", signature(name, manifest, settings.trust))
    store.put(f"{name}/{MANIFEST}", manifest)
    _LOG.info(
        f"backed up as {name}: {len(files)} artifacts, {copied} of them new, database {len(dump) / 2**20:.1f} MiB"
    )
    _LOG.info(
        f"signed with {settings.trust.signer}: another machine wants that key (mtl keys), keep a copy of it elsewhere"
    )
    return BackUp(name=name, artifacts=len(files), copied=copied, bytes=len(dump))


def restore(
    settings: Settings,
    source: str,
    name: str | None,
    *,
    replace: bool,
    unsigned: bool = False,
) -> str:
    """Bring a back-up back, the last whole one if none is named; nothing is touched before all of it was verified.

    Args:
        unsigned: take one whose signature is missing or cannot be verified; names and digests are checked all the same.

    Raises:
        RegistryError: there is no such back-up, its list is not signed by `settings.trust`, it is damaged, or the
            registry is of another kind.
        DataError: its list names what is not below the registry's artifacts.
        BusyError: the registry has versions, and `replace` was not said.
    """
    database, artifacts = addresses(settings)
    store = Store(source)
    whole = sorted(path.removesuffix(f"/{MANIFEST}") for path in store.names() if path.endswith(f"/{MANIFEST}"))
    chosen = name or (whole[-1] if whole else None)
    if chosen not in whole:
        raise RegistryError(
            f"there is no back-up {chosen or ''} in {source}", found=", ".join(whole) or "none", fix="name one of these"
        )
    facts = facts_of(store, str(chosen), settings.trust, unsigned=unsigned)
    dump = _verified(store, f"{chosen}/{DATABASE}", facts.database)
    for digest in sorted(set(facts.files.values())):
        _verified(store, f"{FILES}/{digest}", digest)
    kind = make_url(database).get_backend_name()
    if kind != facts.kind:
        raise RegistryError(
            "the back-up is of another database",
            found=f"{facts.kind}, here {kind}",
            fix=f"set MLFLOW_BACKEND_STORE_URI to a {facts.kind} database",
        )
    if not replace and (versions := _versions(database)):
        raise BusyError("the registry has versions", found=str(versions), fix="--replace gives them up")
    writable(artifacts, "the registry's place for artifacts")
    fs, root = fsspec.core.url_to_fs(artifacts)
    for path, digest in facts.files.items():
        fs.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{root}/{path}", _verified(store, f"{FILES}/{digest}", digest))
    moved = _load(database, gzip.decompress(dump), artifacts, frozenset(facts.files))
    shutil.rmtree(settings.home / "seen", ignore_errors=True)  # the history may be an older one, as its owner wants it
    _LOG.info(f"restored {chosen}: {_versions(database)} versions, {len(facts.files)} artifacts")
    if moved.worth_saying:
        _LOG.info(moved.line())
    return str(chosen)


def _verified(store: Store, name: str, digest: str) -> bytes:
    data = store.get(name)
    if bytes_sha256(data) != digest:
        raise RegistryError("the back-up is damaged", found=f"{name} is not what was written", fix="take another one")
    return data


def _dump(database: str) -> bytes:
    """The database as its own tools copy it, while it is in use."""
    url = make_url(database)
    if url.get_backend_name() == "postgresql":
        return _postgres("pg_dump", database, "--format=custom", "--no-owner", "--no-privileges")
    if not Path(str(url.database)).exists():
        raise RegistryError(
            "there is no registry to back up", found=database, fix="mtl retrain makes the first version"
        )
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "copy.db")
        with closing(sqlite3.connect(str(url.database))) as link, closing(sqlite3.connect(copy)) as into:
            link.backup(into)
        return copy.read_bytes()


def _load(database: str, dump: bytes, artifacts: str, files: frozenset[str]) -> Moved:
    """Put the database into its place, with the addresses that artifacts have now."""
    names = files | {name[:end] for name in files for end, character in enumerate(name) if character == "/"}
    url = make_url(database)
    if url.get_backend_name() == "postgresql":
        words = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
        _postgres("pg_restore", database, *words, stdin=dump)
        return rewritten(database, artifacts, names.__contains__)
    path = Path(str(url.database))
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "copy.db")
        copy.write_bytes(dump)
        moved = rewritten(f"sqlite:///{copy}", artifacts, names.__contains__)
        dump = copy.read_bytes()
    for ending in ("-wal", "-shm", "-journal"):  # of the database that was there
        path.with_name(path.name + ending).unlink(missing_ok=True)
    Store(str(path.parent)).put(path.name, dump)
    return moved


def _versions(database: str) -> int:
    """How many versions a registry has; 0 where there is none."""
    from sqlalchemy import create_engine, inspect, text

    if database.startswith("sqlite") and not Path(str(make_url(database).database)).exists():
        return 0
    engine = create_engine(database)
    try:
        with engine.connect() as link:
            if not inspect(link).has_table("model_versions"):
                return 0
            return int(link.execute(text("select count(*) from model_versions")).scalar_one())
    finally:
        engine.dispose()


def _postgres(tool: str, database: str, *words: str, stdin: bytes | None = None) -> bytes:
    """One of Postgres' own tools on a database; the password is not on its command line."""
    url = make_url(database)
    command = [program(tool, "PostgreSQL's client tools"), *words, "--dbname", str(url.database)]
    where = {"PGHOST": url.host or "", "PGPORT": str(url.port or 5432), "PGUSER": url.username or ""}
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(command, env=os.environ | where | secret, input=stdin, capture_output=True, check=False)
    if done.returncode:
        found = done.stderr.decode(errors="replace").strip()[-500:]
        raise RegistryError(
            f"{tool} failed", found=found, fix="check MLFLOW_BACKEND_STORE_URI and that the database runs"
        )
    return done.stdout

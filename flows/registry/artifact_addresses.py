"""Addresses of artifacts in MLflow's database: absolute ones, which are wrong once their folder was moved, copied or restored elsewhere.

An address is rewritten only below a folder that is known to be the artifacts' former place: it has the same name there, or is
what moved with it. What lies at an address is verified when it is read, as always.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from mtl.errors import RegistryError

COLUMNS = (
    ("experiments", "artifact_location", ""),
    ("runs", "artifact_uri", ""),
    ("model_versions", "source", ""),
    ("model_versions", "storage_location", ""),
    ("logged_models", "artifact_location", ""),
    ("trace_tags", "value", "key = 'mlflow.artifactLocation' and "),
)
"""Tables and columns of MLflow's database that have addresses of artifacts, and which of a table's rows."""
There = Callable[[str], bool]
"""Whether the registry's artifacts have something under a name, relative to their root."""


@dataclass(frozen=True)
class Moved:
    """What was rewritten.

    Attributes:
        roots: where the artifacts were.
        addresses: how many were rewritten.
        versions: of the registry, and how many of them have their package where it is looked for now.
    """

    roots: tuple[str, ...]
    addresses: int
    versions: tuple[int, int]

    @property
    def worth_saying(self) -> bool:
        """Something was rewritten, or is not there."""
        return bool(self.roots) or self.versions[0] < self.versions[1]

    def line(self) -> str:
        """In words."""
        whole, known = self.versions
        done = f"{self.addresses} addresses below {', '.join(self.roots)} are of this place now"
        lost = f"{known - whole} of {known} versions have no package here"
        return (done if self.roots else "the addresses are of this place") + (f"; {lost}" if whole < known else "")


def rewritten(database: str, root: str, there: There) -> Moved:
    """As `rewrite`, of a database that was restored, in one transaction."""
    with connected(database) as link:
        return rewrite(link, plain(root), there, own=True)


def rewrite(link: Connection, here: str, there: There, *, own: bool) -> Moved:
    """Rewrite the addresses below the former places of artifacts.

    Args:
        here: where they are now: a folder's path or a bucket's URL.
        own: no other home uses this database.
    """
    roots, count = sorted(former(link, here, there, own=own)), 0
    for old, new in (pair for root in roots for pair in _pairs(root, here)):
        for before, after in _forms(old, new):
            for table, column, which in _columns(link):
                count += _replace(link, table, column, which, before, after)
    return Moved(tuple(roots), count, _whole(link, here, there))


def _replace(link: Connection, table: str, column: str, which: str, old: str, new: str) -> int:
    """Let addresses below a place be below another, but for those that are there; how many were changed."""
    words = (
        f"update {table} set {column} = :new || substr({column}, length(:old) + 1) where {which} "
        f"substr({column} || '/', 1, length(:old) + 1) = :old || '/' "
        f"and substr({column} || '/', 1, length(:new) + 1) <> :new || '/'"
    )
    return link.execute(text(words), {"old": old, "new": new}).rowcount


def plain(address: str) -> str:
    """An address of a file on this machine as its path; another one as it is."""
    parts = urlsplit(address)
    return unquote(parts.path) if parts.scheme == "file" else address


def former(link: Connection, here: str, there: There, *, own: bool) -> set[str]:
    """The places where a registry's artifacts were before they came here: another one than here, and what a run has there is
    here under the same name. Of an own database's experiments, which may have no runs: a folder of the same name that is gone.
    """
    found: set[str] = set()
    # A server's own way to say where artifacts are; whoever opens the database without one cannot follow it.
    kept = () if own and link.dialect.name == "sqlite" else ("mlflow-artifacts:",)
    for run, address in rows(link, "select run_uuid, artifact_uri from runs"):
        path = plain(address)
        start = path.find(f"/{run}")
        if start < 0 or _is_below(path, here) or path.startswith(kept):
            continue
        root, name = path[:start], path[start + 1 :]
        above, _, experiment = root.rpartition("/")
        if there(name):
            found.add(root)
        elif above and there(f"{experiment}/{name}"):
            found.add(above)
    for _, address in rows(link, "select experiment_id, artifact_location from experiments"):
        path = plain(address)
        alike = path.startswith("/") and here.startswith("/") and Path(path).name == Path(here).name
        if own and alike and path != here and not Path(path).exists():
            found.add(path)
    return found


def _whole(link: Connection, here: str, there: There) -> tuple[int, int]:
    """How many versions have their package here, and how many there are."""
    packages = [plain(source) for _, source in rows(link, "select version, source from model_versions")]
    names = [path.removeprefix(f"{here}/") for path in packages]
    return sum(there(f"{name}/MLmodel") for name in names if not name.startswith("/")), len(names)


def _pairs(root: str, here: str) -> Iterator[tuple[str, str]]:
    """What moved: the artifacts, and the home and the checkout that they are in, where these are gone from their old place."""
    yield root, here
    old, new = Path(root), Path(here)
    for _ in range(2):
        if not (root.startswith("/") and here.startswith("/")) or old.name != new.name:
            return
        old, new = old.parent, new.parent
        if old == new or old.exists():
            return
        yield str(old), str(new)


def _forms(old: str, new: str) -> Iterator[tuple[str, str]]:
    """A place as MLflow writes it: as a URL and as a path."""
    yield old, new
    if old.startswith("/"):
        yield Path(old).as_uri(), Path(new).as_uri() if new.startswith("/") else new


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def rows(link: Connection, query: str) -> list[tuple[str, str]]:
    """Pairs of texts; none of a database that has no such table yet."""
    table = query.rpartition(" ")[2]
    if not inspect(link).has_table(table):
        return []
    return [(str(key), str(value)) for key, value in link.execute(text(query)) if value]


def _columns(link: Connection) -> list[tuple[str, str, str]]:
    tables = set(inspect(link).get_table_names())
    return [column for column in COLUMNS if column[0] in tables]


@contextmanager
def connected(database: str) -> Generator[Connection]:
    """A transaction: all is rewritten or nothing, whenever this process ends."""
    engine = create_engine(database)
    try:
        with engine.begin() as link:
            yield link
    except SQLAlchemyError as error:
        raise RegistryError(
            "the registry's addresses cannot be looked at or rewritten",
            found=str(error).splitlines()[0][:300],
            fix="see that its database can be read and written and that nothing else has locked it",
        ) from error
    finally:
        engine.dispose()

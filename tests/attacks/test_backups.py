"""A back-up in a bucket where others may write: its list altered, replayed, signed by another key, naming other files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.settings import Settings
from flows.versions.backup import back_up, restore
from flows.versions.backup_list import MANIFEST, STATEMENT, signature
from mtl.errors import MtlError, RegistryError
from mtl.registry.trust import Trust
from mtl.storage.digest import bytes_sha256
from mtl.storage.store import Store
from tests.conftest import heard


@dataclass
class Saved:
    """A back-up, its owner, and another machine on which it is to be brought back."""

    store: Store
    name: str
    owner: Settings
    elsewhere: Settings
    lines: list[str]

    def bring(self, *, unsigned: bool = False) -> str:
        with heard(self.lines):
            return restore(self.elsewhere, self.store.url, None, replace=False, unsigned=unsigned)

    def untouched(self) -> bool:
        home = self.elsewhere.home
        return not any((home / name).exists() for name in ("mlflow.db", "mlartifacts"))

    def put(self, facts: object, trust: Trust | None = None, name: str = "") -> None:
        """Write another list, signed if a trust is given."""
        data = json.dumps(facts).encode()
        self.store.put(f"{name or self.name}/{MANIFEST}", data)
        if trust:
            self.store.put(f"{name or self.name}/{STATEMENT}", signature(name or self.name, data, trust))

    def facts(self) -> dict[str, object]:
        return json.loads(self.store.get(f"{self.name}/{MANIFEST}"))


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Saved:
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION", "MTL_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    homes = [tmp_path / "deep" / "owner", tmp_path / "deep" / "elsewhere"]
    owner, elsewhere = (Settings(tmp_path, home, f"sqlite:///{home}/mlflow.db", None) for home in homes)
    for path in ("1/a/weights", "1/b/card.md"):
        (owner.home / "mlartifacts" / path).parent.mkdir(parents=True)
        (owner.home / "mlartifacts" / path).write_bytes(path.encode())
    with sqlite3.connect(owner.home / "mlflow.db") as link:
        link.execute("create table model_versions (version int, source text)")
    link.close()
    store = Store(str(tmp_path / "bucket"))
    with heard() as lines:
        found = back_up(owner, store.url)
    assert any("keep a copy of" in line for line in lines)
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(owner.home / "keys" / "public.pem"))
    return Saved(store, found.name, owner, elsewhere, lines)


def test_a_signed_one_comes_back_as_it_was(saved: Saved) -> None:
    assert saved.bring() == saved.name
    assert (saved.elsewhere.home / "mlartifacts" / "1/a/weights").read_bytes() == b"1/a/weights"
    assert (saved.elsewhere.home / "mlflow.db").exists()


@pytest.mark.attack(
    boundary="bucket writer", attack="a back-up's list without a signature, or altered, or by another key"
)
@pytest.mark.parametrize("kind", ["altered", "unsigned", "another key", "an artifact swapped and listed"])
def test_a_list_that_the_owner_did_not_sign_is_refused(saved: Saved, tmp_path: Path, kind: str) -> None:
    facts = saved.facts()
    if kind == "altered":
        saved.put(facts | {"kind": "postgresql"})
    elif kind == "unsigned":
        saved.store.remove(f"{saved.name}/{STATEMENT}")
    elif kind == "another key":
        saved.put(facts, Trust(own=tmp_path / "stranger"))
    else:
        evil = b"print('evil')"
        saved.store.put(f"files/{bytes_sha256(evil)}", evil)
        saved.put(facts | {"files": {"1/a/weights": bytes_sha256(evil)}})
    with pytest.raises(RegistryError, match="not signed") as caught:
        saved.bring()
    assert "MTL_SIGNING_PUBLIC_KEY" in caught.value.fix
    assert "--unsigned" in caught.value.fix
    assert saved.untouched()


@pytest.mark.attack(boundary="bucket writer", attack="a back-up restored where no key is known")
def test_without_a_key_nothing_is_taken_until_it_is_said(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_SIGNING_PUBLIC_KEY")
    with pytest.raises(RegistryError, match="cannot be verified"):
        saved.bring()
    assert saved.untouched()
    saved.bring(unsigned=True)
    assert any(line.startswith("unverified") for line in saved.lines)
    assert not saved.untouched()


@pytest.mark.attack(boundary="bucket writer", attack="an old back-up put in the place of the newest")
def test_an_old_one_under_a_new_name_is_refused(saved: Saved, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    shutil.copytree(bucket / saved.name, bucket / "2999-01-01T00-00-00Z")
    with pytest.raises(RegistryError, match=r"2999.* is not signed as it is") as caught:
        saved.bring()
    assert saved.name in caught.value.found
    assert saved.untouched()


@pytest.mark.attack(boundary="bucket writer", attack="a back-up that names ../../.ssh/authorized_keys")
@pytest.mark.parametrize(
    "path", ["../../.ssh/authorized_keys", "/etc/cron.d/x", "a/../../../x", "a\\..\\x", "C:/x", ""]
)
@pytest.mark.parametrize("way", ["signed", "--unsigned"])
def test_restore_refuses_names_outside_the_artifacts(saved: Saved, path: str, way: str) -> None:
    """Before anything is written."""
    facts = saved.facts()
    (digest, *_) = facts["files"].values()  # type: ignore[union-attr]
    files = facts["files"] | {path: digest}  # type: ignore[operator]
    saved.put(facts | {"files": files}, saved.owner.trust if way == "signed" else None)
    with pytest.raises(MtlError, match="is not one of a file below it"):
        saved.bring(unsigned=way == "--unsigned")
    assert saved.untouched()
    assert not (saved.elsewhere.home.parents[0] / ".ssh").exists()


@pytest.mark.attack(boundary="bucket writer", attack="a back-up's list that is none, or has digests that are paths")
@pytest.mark.parametrize(
    "change",
    [
        lambda facts: [],
        lambda facts: {"files": {}},
        lambda facts: facts | {"files": {"a": "../../../etc/passwd"}},
        lambda facts: facts | {"database": 1},
        lambda facts: facts | {"files": ["a"]},
    ],
)
def test_a_list_of_another_kind_is_refused(saved: Saved, change: Callable[[dict[str, object]], object]) -> None:
    saved.put(change(saved.facts()))
    with pytest.raises(RegistryError, match="is not what was written"):
        saved.bring(unsigned=True)
    assert saved.untouched()


@pytest.mark.attack(boundary="bucket writer", attack="an artifact swapped between verifying and writing it")
def test_what_is_written_is_what_was_verified(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    original, asked = Store.get, list[str]()

    def get(store: Store, name: str) -> bytes:
        asked.append(name)
        return b"evil" if name.startswith("files/") and asked.count(name) > 1 else original(store, name)

    monkeypatch.setattr(Store, "get", get)
    with pytest.raises(RegistryError, match="damaged"):
        saved.bring()
    written = [path.read_bytes() for path in saved.elsewhere.home.rglob("*") if path.is_file()]
    assert b"evil" not in written

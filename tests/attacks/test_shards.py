"""The shards that a node fetches: swapped in the DVC remote, or in a temporary folder that another user made first."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.stack.plan import make_plan
from mtl.data.shards.manifest import NAME
from mtl.data.shards.staging import ShardManifest, ensure_local
from mtl.errors import DataError
from mtl.storage.digest import file_md5, file_sha256
from mtl.storage.private import private_folder
from mtl.storage.store import Store

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user is played by root's right to become one")


def as_nobody(*words: str | Path) -> None:
    """What another user of this machine runs."""
    subprocess.run([str(word) for word in words], user=NOBODY, check=True)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory as /tmp is: everybody may write there, and remove what is his."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delenv("MTL_SHARDS", raising=False)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def sent(prepared: Path, tmp_path: Path) -> ShardManifest:
    """Prepared shards in a DVC remote."""
    files = {path.name: file_md5(path) for path in prepared.iterdir()}
    store = Store(f"memory://{tmp_path.name}/dvc")
    for name, md5 in files.items():
        store.put(f"files/md5/{md5[:2]}/{md5[2:]}", (prepared / name).read_bytes())
    return ShardManifest(store.url, files, file_sha256(prepared / NAME))


def unseen(tmp_path: Path) -> Path:
    return tmp_path / "unseen"


def test_shards_are_fetched_once_into_a_folder_of_ones_own(
    sent: ShardManifest, prepared: Path, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ensure_local(unseen(tmp_path), sent)
    assert {p.name: p.read_bytes() for p in found.iterdir()} == {p.name: p.read_bytes() for p in prepared.iterdir()}
    assert stat.S_IMODE((temporary / f"mtl-shards-{os.getuid()}").stat().st_mode) == 0o700
    monkeypatch.setattr("mtl.data.shards.staging._fetch", lambda *_: pytest.fail("fetched twice"))
    assert ensure_local(unseen(tmp_path), sent) == found


@needs_root
@pytest.mark.attack(boundary="local user", attack="the folder of shards, made first in the temporary directory")
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_that_another_user_made_first_is_refused(
    sent: ShardManifest, temporary: Path, tmp_path: Path, kind: str
) -> None:
    place = temporary / f"mtl-shards-{os.getuid()}"
    planted = temporary / "planted" if kind == "link" else place
    manifest = planted / sent.manifest[:32] / NAME
    as_nobody("mkdir", "-p", manifest.parent)
    as_nobody("touch", manifest)
    if kind == "link":
        as_nobody("ln", "-s", planted, place)
    with pytest.raises(DataError, match="not this user's own folder"):
        ensure_local(unseen(tmp_path), sent)
    assert manifest.read_bytes() == b""


@pytest.mark.attack(
    boundary="local user", attack="a link to a folder of the user's own, put in the temporary directory"
)
def test_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "shards").symlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="not this user's own folder"):
        private_folder(tmp_path / "shards")
    (tmp_path / "mine").chmod(0o777)
    with pytest.raises(DataError, match="others may write"):
        private_folder(tmp_path / "mine")


@needs_root
@pytest.mark.attack(boundary="local user", attack="the stack's scratch folder, made first after a machine's start")
def test_a_stack_does_not_take_another_users_folder(temporary: Path, tmp_path: Path) -> None:
    first = make_plan(tmp_path / "stack")
    shutil.rmtree(first.scratch)
    as_nobody("mkdir", first.scratch)
    try:
        again = make_plan(tmp_path / "stack")
        assert again.scratch != first.scratch
        assert Path(again.scratch).stat().st_uid == os.getuid()
        assert again == replace(first, scratch=again.scratch) == make_plan(tmp_path / "stack")
        shutil.rmtree(again.scratch)
    finally:
        Path(first.scratch).rmdir()


@pytest.mark.attack(boundary="bucket writer", attack="a shard or its manifest swapped in the DVC remote")
@pytest.mark.parametrize("which", ["shard", "manifest"])
def test_a_swapped_object_is_refused(
    sent: ShardManifest, prepared: Path, temporary: Path, tmp_path: Path, which: str
) -> None:
    manifest = json.loads((prepared / NAME).read_bytes())
    name = NAME if which == "manifest" else manifest["shards"][0]["file"]
    md5 = sent.files[name]
    # Under the MD5 by which DVC names it, as one who writes there can put it.
    data = (prepared / name).read_bytes()
    Store(sent.url).put(f"files/md5/{md5[:2]}/{md5[2:]}", data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    with pytest.raises(DataError, match=f"{name} .* is damaged"):
        ensure_local(unseen(tmp_path), sent)


@pytest.mark.attack(boundary="bucket writer", attack="a list of shards that names ../../x")
def test_a_list_with_a_path_is_refused(sent: ShardManifest, temporary: Path, tmp_path: Path) -> None:
    files = sent.files | {"../../x": sent.files[NAME]}
    with pytest.raises(DataError, match=r"\.\./\.\./x"):
        ensure_local(unseen(tmp_path), replace(sent, files=files))
    assert not (temporary / "x").exists()

"""Listings that are never in memory whole: in order, cut into parts, and no change of a file is missed."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import time
from pathlib import Path

import pytest

from mtl.config.files import FilesSource
from mtl.data.raw.listings import sync_listings
from mtl.registry.fingerprint import content_pieces
from mtl.storage import walk as walking
from mtl.storage.digest import DigestCache
from mtl.storage.walk import File, Part, joined, parts, piece, walk

OLD = (1_700_000_000, 1_700_000_000)
"""Seconds: files that were written long ago."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of eight files."""
    monkeypatch.setattr(walking, "PART", 8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Names whose order is another by their folders than as they are written, and a folder with many."""
    root = tmp_path / "tree"
    for name in ["b/1", "b-1", "b.x", "b/a/2", "b!/3", "a/é", "z", *(f"many/{n:03d}" for n in range(90))]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
        os.utime(root / name, OLD)
    return root


def told(files: list[File]) -> Part:
    return Part(files[0][0], len(files), hashlib.sha256(repr(files).encode()).digest())


def test_a_folder_is_walked_in_the_order_of_whole_names(tree: Path) -> None:
    found = list(walk(tree))
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    assert [name for name, _ in found] == names
    stat = (tree / "b/a/2").stat()
    assert dict(found)["b/a/2"] == f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"


def test_a_new_name_changes_one_part() -> None:
    files = [(f"{n:05d}", "") for n in range(2000)]
    before = list(parts(files))
    assert [file for part in before for file in part] == files
    assert 100 < len(before) < 500
    after = list(parts(sorted([*files, ("00777x", "")])))
    assert len([part for part in after if part not in before]) <= 2


@pytest.mark.parametrize("cuts", [[], [1], [500], [3, 4, 900], [0, 1, 2, 3, 999, 1000]])
def test_ranges_give_the_parts_of_the_whole(cuts: list[int]) -> None:
    files = [(f"{n:05d}", str(n)) for n in range(1000)]
    ranges = [files[a:b] for a, b in zip([0, *cuts], [*cuts, 1000], strict=True)]
    found = list(joined([piece(one, told) for one in ranges], told))
    assert found == list(map(told, parts(files)))


def test_a_part_without_an_end_is_cut_the_same_in_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "_ends", lambda file: file[0] in ("00100", "00101"))
    files = [(f"{n:05d}", str(n)) for n in range(1000)]
    for cut in range(0, 1000, 37):
        found = list(joined([piece(files[:cut], told), piece(files[cut:], told)], told))
        assert found == list(map(told, parts(files)))


def look(cache: DigestCache, tree: Path, asked: list[str]) -> list[Part]:
    def read(name: str) -> bytes:
        asked.append(name)
        return (tree / name).read_bytes()

    return list(cache.parts("test", "here", walk(tree), read, lambda d: repr(sorted(d.items())).encode()))


def test_a_file_written_over_is_seen_in_an_unchanged_folder(tree: Path, tmp_path: Path) -> None:
    cache, asked = DigestCache(tmp_path / "digests.sqlite"), list[str]()
    before = look(cache, tree, asked)
    assert sorted(asked) == sorted(name for name, _ in walk(tree))
    asked.clear()
    assert look(cache, tree, asked) == before
    assert not asked
    folder = (tree / "many").stat()
    (tree / "many/042").write_text("many/4.2")  # as long as it was
    os.utime(tree / "many/042", (OLD[0], OLD[1] + 1))
    assert (tree / "many").stat().st_mtime_ns == folder.st_mtime_ns
    after = look(cache, tree, asked)
    assert asked == ["many/042"]
    assert len([part for part in after if part not in before]) == 1


def test_a_renamed_and_a_removed_file_are_seen(tree: Path, tmp_path: Path) -> None:
    cache, asked = DigestCache(tmp_path / "digests.sqlite"), list[str]()
    before = look(cache, tree, asked)
    asked.clear()
    (tree / "many/042").rename(tree / "many/042x")
    (tree / "z").unlink()
    after = look(cache, tree, asked)
    assert asked == ["many/042x"]
    assert sum(part.number for part in after) == sum(part.number for part in before) - 1
    fresh = look(DigestCache(tmp_path / "other.sqlite"), tree, [])
    assert after == fresh, "what is kept is what a first look finds"


def test_what_was_written_a_moment_ago_is_read_once_more(tree: Path, tmp_path: Path) -> None:
    cache, asked = DigestCache(tmp_path / "digests.sqlite"), list[str]()
    (tree / "z").write_text("now")
    moment = (tree / "z").stat().st_mtime_ns
    look(cache, tree, asked)
    (tree / "z").write_text("new")  # as long, and on many disks at the same time
    os.utime(tree / "z", ns=(moment, moment))
    asked.clear()
    found = look(cache, tree, asked)
    assert asked == ["z"]
    assert hashlib.sha256(b"new").hexdigest() in found[-1].value.decode()
    os.utime(tree / "z", OLD)
    asked.clear()
    look(cache, tree, asked)
    look(cache, tree, asked)
    assert asked == ["z"], "long after it was written it is believed"


def test_parts_that_begin_elsewhere_now_are_forgotten(tree: Path, tmp_path: Path) -> None:
    cache = DigestCache(tmp_path / "digests.sqlite")
    draw = random.Random(0)
    for _ in range(5):
        look(cache, tree, [])
        names = sorted((tree / "many").iterdir())
        for path in draw.sample(names, 20):
            path.rename(path.with_name(f"{draw.random()}"))
    found = look(cache, tree, [])
    (rows,) = sqlite3.connect(tmp_path / "digests.sqlite").execute("SELECT count(*) FROM parts").fetchone()
    assert rows == len(found)


@pytest.mark.parametrize("cached", [True, False])
def test_a_folder_counts_in_a_fingerprint_as_it_always_did(tree: Path, tmp_path: Path, *, cached: bool) -> None:
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/x.pyc").touch()
    cache = DigestCache(tmp_path / "digests.sqlite") if cached else None
    found = b"".join(content_pieces(tree, cache))
    names = sorted(str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file() and p.suffix != ".pyc")
    assert found == b"".join(n.encode() + hashlib.sha256((tree / n).read_bytes()).digest() for n in names)
    assert found == b"".join(content_pieces(tree, cache))


def test_a_listing_is_small_and_tells_of_every_change(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    source = FilesSource.model_validate(
        {"type": "files", "sets": {"own": {"format": "image_folder", "path": str(tree)}}}
    )
    assert sync_listings(source, root, tmp_path / "home") == ["own"]
    assert sync_listings(source, root, tmp_path / "home") == []
    listing = root / "data/.remote/own.json"
    first = listing.read_text()
    assert first.count("\n") < len(list(walk(tree)))
    (tree / "many/007").write_text("other")
    assert sync_listings(source, root, tmp_path / "home") == ["own"]
    (tree / "many/007").write_text("many/007")
    assert sync_listings(source, root, tmp_path / "elsewhere") == ["own"]
    assert listing.read_text() == first, "neither times nor this machine's cache are in it"
    assert time.time_ns() > (tree / "many/007").stat().st_mtime_ns

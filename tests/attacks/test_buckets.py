"""What whoever may write to a bucket tries: names that lead out of their place; files swapped for others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote
from xml.sax.saxutils import escape

import pytest

from mtl.errors import DataError
from mtl.storage.store import Store

NAMES = (
    "../../x",
    "/etc/x",
    "a/../../b",
    "a//b",
    "..",
    "./x",
    "..\\..\\x",
    "a\\..\\..\\b",
    "\\\\host\\share",
    "C:/x",
    "C:x",
    "a\0b",
)
METHODS: tuple[Callable[[Store, str], object], ...] = (
    Store.child,
    Store.arrow,
    Store.get,
    Store.remove,
    lambda store, name: store.put(name, b"x"),
    lambda store, name: store.put_file(name, Path(__file__)),
    lambda store, name: store.scratch(name, Path("nowhere")),
    lambda store, name: name in store,
)


@pytest.fixture
def s3_of_any_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A bucket `store` whose keys are these; S3 takes any string for one, and our own object store does not."""
    keys: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rows = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>1</Size><ETag>x</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                for key in keys
            )
            listing = f"<ListBucketResult><Name>store</Name>{rows}</ListBucketResult>".encode()
            data = listing if "list-type=2" in self.path else b"?" if unquote(self.path[7:]) in keys else b""
            self.send_response(200 if data else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield keys
    server.shutdown()
    server.server_close()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.attack(boundary="bucket writer", attack="a name that is absolute, or has .., a drive, a backslash, a NUL")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_name_that_leads_out_is_refused_by_all_methods(kind: str, name: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "a" / "b") if kind == "folder" else f"memory://{tmp_path.name}/b")
    (tmp_path / "x").write_bytes(b"mine")
    before = sorted(tmp_path.rglob("*"))
    for method in METHODS:
        with pytest.raises(DataError, match="is not one of a file below it") as caught:
            method(store, name)
        assert caught.value.found == repr(name)
    assert sorted(tmp_path.rglob("*")) == before
    assert Path(__file__).exists()


@pytest.mark.attack(boundary="bucket writer", attack="a key in the bucket that is a path out of it")
@pytest.mark.parametrize("name", [name for name in NAMES if "\0" not in name])
def test_a_listing_with_such_a_name_is_refused(s3_of_any_names: list[str], name: str) -> None:
    s3_of_any_names += ["in/a", f"in/{name}"]
    with pytest.raises(DataError, match="is not one of a file below it") as caught:
        Store("s3://store/in").names()
    assert caught.value.found == repr(name)


@pytest.mark.attack(boundary="bucket writer", attack="a link in a shared folder that leads out of it")
def test_a_link_out_of_a_shared_folder_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "secret").write_bytes(b"secret")
    shared = Store(str(tmp_path / "shared"))
    shared.put("run/a", b"1")
    (tmp_path / "shared" / "run" / "out").symlink_to(mine)
    (tmp_path / "shared" / "run" / "one").symlink_to(mine / "secret")
    run = shared.child("run")
    for attempt in (
        lambda: run.get("one"),
        lambda: run.get("out/secret"),
        lambda: run.put("out/new", b"1"),
        lambda: run.remove("out/secret"),
        lambda: run.child("out"),
    ):
        with pytest.raises(DataError, match="a link leads out"):
            attempt()
    run.put("one", b"2")  # a link's place is taken, nothing is written through it
    assert (mine / "secret").read_bytes() == b"secret"
    assert [path.name for path in mine.iterdir()] == ["secret"]


@pytest.mark.attack(boundary="bucket writer", attack="a link where a scratch file will be written")
def test_scratch_files_have_names_that_nobody_guesses(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert len({store.scratch("state", tmp_path).name for _ in range(5)}) == 5

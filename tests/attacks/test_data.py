"""What somebody who supplies data tries: files of kilobytes that want gigabytes or hours, and names that lead elsewhere.

Each attack runs in a process of its own with the memory of a small machine; what is not refused by then, fails.
"""

from __future__ import annotations

import faulthandler
import gzip
import http.server
import itertools
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl.config.model import FilePretrained
from mtl.config.reading import read_params
from mtl.data.sources.budget import within_budget
from mtl.errors import ConfigError, DataError, MtlError
from mtl.model.pretrained import _from_file
from mtl.storage.addresses import refuse_address
from mtl.storage.file_tree import FileTree
from tests.conftest import ROOT, clean_environment
from tests.data.small_sets import encoded, pictures, read, written

SUPPLIER = "data supplier"


def attack(what: str) -> Any:
    return pytest.mark.attack(boundary=SUPPLIER, attack=what)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that a bomb bursts and a test does not wait for."""
    monkeypatch.setenv("MTL_READ_GIB", "1")
    monkeypatch.setenv("MTL_READ_SECONDS", "20")


def refused(reader: Callable[[], object]) -> str:
    """Why it was refused; nothing if it was read. A fault of ours is neither."""
    try:
        within_budget(reader)
    except MtlError as error:
        said = str(error)
    else:
        return ""
    assert "nobody foresaw" not in said
    return said


def black(path: Path, width: int, height: int) -> Path:
    """A large picture in a small file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("1", (width, height)).save(path)
    return path


# --- one budget


@attack("a reader that wants all memory")
def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_READ_GIB", "0.2")
    with pytest.raises(DataError, match="too much memory"):
        within_budget(lambda: [np.ones(1 << 22) for _ in range(10)])


@attack("a reader that never ends")
def test_time_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> None:
        while True:
            pass

    monkeypatch.setenv("MTL_READ_SECONDS", "1")
    with pytest.raises(DataError, match=r"too long[\s\S]*MTL_READ_SECONDS"):
        within_budget(endless)


@attack("a reader that waits for ever")
def test_waiting_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.data.sources.budget.IDLE", 0.5)
    with pytest.raises(DataError, match="does not go on"):
        within_budget(threading.Event().wait)


@attack("a reader that a library's fault ends")
def test_a_crash_is_named() -> None:
    with pytest.raises(DataError, match=r"library's fault: SIGABRT"):
        within_budget(lambda: (faulthandler.disable(), os.abort()))


@attack("a reader that meets what nobody foresaw")
def test_a_bug_is_named() -> None:
    with pytest.raises(DataError, match=r"nobody foresaw[\s\S]*IndexError"):
        within_budget([].pop)


def test_what_is_read_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert within_budget(sorted, [2, 1]) == [1, 2]
    monkeypatch.setenv("MTL_READ_GIB", "none")
    with pytest.raises(ConfigError, match="MTL_READ_GIB"):
        within_budget(sorted, [])


@attack("a bomb given to mtl data init")
@pytest.mark.slow
def test_the_command_refuses(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with gzip.open(tmp_path / "photos" / "x.tgz", "wb") as file:
        _zeros(file, 300)
    command = [sys.executable, "-m", "flows.cli", "data", "init", str(tmp_path / "photos" / "x.tgz"), "--yes"]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "holds far more than its size" in done.stderr
    assert "Traceback" not in done.stderr


# --- masks


def coco(folder: Path, objects: list[dict[str, Any]], width: int, height: int) -> None:
    annotations = [{"id": n, "image_id": 1, "category_id": 1, **one} for n, one in enumerate(objects)]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": annotations,
    }
    written(folder / "a.json", json.dumps(document))


@attack("many run-length masks of a huge picture in 10 KB of COCO")
@pytest.mark.slow
def test_run_lengths_of_a_huge_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_READ_GIB", "0.6")
    side = 3000
    black(tmp_path / "a.png", side, side)
    runs = {"size": [side, side], "counts": [0, side * side]}
    objects = [{"bbox": [0, 0, side, side], "area": 1, "iscrowd": 0, "segmentation": runs} for _ in range(60)]
    objects[0]["segmentation"] = [runs] * 60
    coco(tmp_path, objects, side, side)
    section = {"format": "coco", "annotations": "a.json", "masks": "mask"}
    reading = within_budget(lambda: read(tmp_path, **section))
    assert len(reading.entries) == 1


@attack("a run-length mask that declares another size than its picture")
def test_run_lengths_of_another_size(tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"])
    runs = {"size": [2**31, 2**31], "counts": [0, 2**62]}
    coco(tmp_path, [{"bbox": [0, 0, 9, 9], "segmentation": runs}], 32, 24)
    reading = read(tmp_path, format="coco", annotations="a.json", masks="mask", boxes="boxes")
    assert any("run-length" in problem.reason for problem in reading.problems)


@attack("an outline that goes to and fro ten thousand times")
def test_an_endless_outline(tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"], (640, 480))
    zigzag = [value for _ in range(10_000) for value in (-2500, 0, 2500, 400)]
    coco(tmp_path, [{"bbox": [0, 0, 640, 400], "segmentation": [zigzag]}], 640, 480)
    section = {"format": "coco", "annotations": "a.json", "masks": "mask", "boxes": "boxes"}
    reading = within_budget(lambda: read(tmp_path, **section))
    assert any("outline is too long" in problem.reason for problem in reading.problems)


# --- texts


def laughs(line: str, levels: int = 9) -> str:
    """Aliases of aliases; `line` has the places of a name and of what it holds."""
    names = "abcdefghijkl"[:levels]
    text = f"{names[0]}: &{names[0]} {{x: 1}}\n"
    return text + "".join(line.format(b, ", ".join([f"*{a}"] * 9)) for a, b in itertools.pairwise(names))


YAMLS = {
    "aliases of aliases": laughs("{0}: &{0} [{1}]\n") + "names: *i\n",
    "merges of merges": laughs("{0}: &{0} {{{{<<: [{1}]}}}}\n") + "names: *i\n",
    "a list that holds itself": "names: &a [x, *a]\n",
    "a thousand lists in one another": "names: " + "[" * 1000 + "\n",
    "fifty thousand dashes": "names:\n" + "- " * 50_000 + "x\n",
    "a number of five thousand digits": "names: [a]\nnc: " + "9" * 5000 + "\n",
    "a day that is none": "names: [a]\nnc: 2024-99-99\n",
}


@attack("YAML that makes gigabytes, or hours, of a few lines")
@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS.keys())
def test_yaml(text: str, tmp_path: Path) -> None:
    pictures(tmp_path, ["images/a.png"])
    written(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    written(tmp_path / "data.yaml", text)
    began = time.monotonic()
    refused(lambda: read(tmp_path, format="yolo", boxes="boxes"))
    refused(lambda: read_params(tmp_path / "data.yaml"))
    assert time.monotonic() - began < 5


def documents() -> dict[str, bytes]:
    deep = 200_000
    return {
        "lists": b"[" * deep,
        "closed lists": b"[" * deep + b"]" * deep,
        "objects": b'{"a":' * deep,
        "digits": b'{"images": ' + b"9" * 5000 + b"}",
        "fewer digits": b'{"images": [{"id": ' + b"9" * 4000 + b"}]}",
        "lone surrogate": b'{"images": [{"id": 1, "file_name": "\\ud800.png"}], "annotations": [], "categories": []}',
        "a null in a name": b'{"images": [{"id": 1, "file_name": "a\\u0000.png"}], "annotations": [], "categories": []}',
    }


@attack("JSON that is deep, or has numbers of thousands of digits")
@pytest.mark.parametrize("name", documents())
@pytest.mark.parametrize("kind", ["coco", "createml", "via", "datumaro", "label_studio", "labelme"])
def test_json(name: str, kind: str, tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"])
    written(tmp_path / "a.json", documents()[name])
    section: dict[str, Any] = {"format": kind, "boxes": "boxes"} | (
        {"annotations": "a.json"} if kind != "labelme" else {}
    )
    refused(lambda: read(tmp_path, **section))


XMLS = {
    "entities": b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>',
    "entities in UTF-16": '<!DOCTYPE a [<!ENTITY x "x">]><annotation>&x;</annotation>'.encode("utf-16"),
    "entities in UTF-7": b"<?xml version='1.0' encoding='utf-7'?>+ADw-!DOCTYPE a [+ADw-!ENTITY x 'x'>]><annotation>&x;</annotation>",
    "a file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
    "a DTD elsewhere": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><annotation></annotation>',
    "a parameter": b'<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><annotation></annotation>',
    "depth": b"<annotation>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</annotation>",
}


@attack("XML with entities, other files or great depth")
@pytest.mark.parametrize("text", XMLS.values(), ids=XMLS.keys())
def test_xml(text: bytes, tmp_path: Path) -> None:
    pictures(tmp_path, ["JPEGImages/a.png"])
    written(tmp_path / "Annotations" / "a.xml", text)

    def read_all() -> str:
        reading = read(tmp_path, format="voc", boxes="boxes")
        return str(reading.problems) + str(reading.entries)

    try:
        said = within_budget(read_all)
    except DataError as error:
        said = str(error)
    assert "nobody foresaw" not in said
    assert "root:" not in said
    assert "xxxxxxxxxx" not in said


@attack("tables with huge cells or numbers")
@pytest.mark.parametrize(
    "text",
    ['file,label\na.png,"' + "x" * (70 << 20), "file,label\na.png," + "9" * 5000, "file,label\na.png,1e999999\n", "\0"],
    ids=["an open quote", "digits", "exponent", "null"],
)
def test_csv(text: str, tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"])
    written(tmp_path / "a.csv", text)
    targets = {"label": {"column": "label", "kind": "value"}}
    refused(lambda: read(tmp_path, format="table", table="a.csv", image="file", targets=targets))


@attack("Parquet of kilobytes with gigabytes of rows, or of one value")
@pytest.mark.parametrize("name", ["table.parquet", "metadata.parquet", "train.parquet"])
@pytest.mark.parametrize("kind", ["rows", "values"])
def test_parquet(name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array(np.zeros(20_000_000, np.int8)) if kind == "rows" else pa.array(["x" * (1 << 20)])
    if kind == "values":
        values = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), values)
    table = pa.table({"file_name": values, "label": values})
    pictures(tmp_path, ["a.png"])
    pq.write_table(table, tmp_path / name, store_schema=False)
    assert (tmp_path / name).stat().st_size < 1 << 18
    targets = {"label": {"column": "label", "kind": "value"}}
    section: dict[str, Any] = {"format": "huggingface", "targets": {"label": "label"}, "image": "file_name"}
    if name == "table.parquet":
        section = {"format": "table", "table": name, "image": "file_name", "targets": targets}
    monkeypatch.setenv("MTL_READ_GIB", "4")  # this process has some of it already
    assert "far more" in refused(lambda: read(tmp_path, **section))


# --- archives


def _zeros(file: Any, mebibytes: int, kind: bytes = tarfile.REGTYPE) -> None:
    header = tarfile.TarInfo("a.json")
    header.size, header.type = mebibytes << 20, kind
    file.write(header.tobuf(tarfile.GNU_FORMAT))
    for _ in range(mebibytes):
        file.write(bytes(1 << 20))
    file.write(bytes(1024))


@attack("a tgz of a megabyte that holds gigabytes")
@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE], ids=["file", "name", "pax"]
)
@pytest.mark.parametrize("reads", ["place", pytest.param("webdataset", marks=pytest.mark.slow)])
def test_tgz(kind: bytes, reads: str, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.tgz", "wb", 6) as file:
        _zeros(file, 120, kind)
    targets = {"label": {"column": "cls", "kind": "label", "classes": ["x"]}}
    reader = {
        "place": lambda: [*FileTree(str(tmp_path / "x.tgz")).versions],
        "webdataset": lambda: read(tmp_path, format="webdataset", targets=targets),
    }[reads]
    assert "far more than its size" in refused(reader)


@attack("a zip that holds gigabytes, or the same bytes again and again")
def test_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", bytes(100 << 20))
    with pytest.raises(DataError, match="far more than its size"):
        within_budget(lambda: FileTree(str(tmp_path / "x.zip")).versions)


@attack("members of an archive that lie outside, or link to what does")
def test_members_that_lie_outside(tmp_path: Path) -> None:
    secret = written(tmp_path / "secret.txt", "the secret")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (("a.txt", tarfile.SYMTYPE), ("b.txt", tarfile.LNKTYPE), ("c.txt", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
    place = FileTree(str(tmp_path / "x.tar"))
    for name in ("a.txt", "b.txt", "c.txt"):
        with pytest.raises(DataError):
            place.read(name)
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("../secret.txt", b"x")
    with pytest.raises(DataError, match="lies outside"):
        _ = FileTree(str(tmp_path / "y.zip")).versions


# --- names and links


@attack("links in a folder that lead out of it")
def test_links_that_lead_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, folder = written(tmp_path / "outside" / "secret.txt", "the secret"), tmp_path / "set"
    pictures(folder, ["a.png"])
    (folder / "classes.txt").symlink_to(secret)
    for listed in (False, True):
        place = FileTree(str(folder))
        with pytest.raises(DataError, match="leads out of it"):
            _ = place.versions if listed else place.read("classes.txt")
    (folder / "classes.txt").unlink()
    (folder / "deep").symlink_to(secret.parent)
    for listed in (False, True):
        place = FileTree(str(folder))
        with pytest.raises(DataError, match="leads out of it"):
            _ = place.versions if listed else place.read("deep/secret.txt")
    monkeypatch.setenv("MTL_FOLLOW_LINKS", str(secret.parent))
    assert FileTree(str(folder)).read("deep/secret.txt") == b"the secret"


def test_links_that_stay_are_followed(tmp_path: Path) -> None:
    pictures(tmp_path / "set", ["a.png"])
    (tmp_path / "set" / "b.png").symlink_to("a.png")
    cached = written(tmp_path / "cache" / "files" / "md5" / "ab" / ("0" * 30), encoded(3))
    (tmp_path / "set" / "c.png").symlink_to(cached)
    place = FileTree(str(tmp_path / "set"))
    assert [*place.versions] == ["a.png", "b.png", "c.png"]
    assert place.read("b.png") == place.read("a.png")
    assert place.read("c.png") == encoded(3)


@attack("links that lead round in circles")
def test_links_in_circles(tmp_path: Path) -> None:
    pictures(tmp_path / "set", ["a.png", "one/b.png", "two/c.png"])
    for name in ("p", "q"):
        (tmp_path / "set" / "one" / name).symlink_to("../two")
        (tmp_path / "set" / "two" / name).symlink_to("../one")
    with pytest.raises(DataError, match="round in circles"):
        _ = FileTree(str(tmp_path / "set")).versions


@attack("names in annotations that lead out of the folder")
@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../secret.txt", "x\0y"])
def test_names_that_lead_out(name: str, tmp_path: Path) -> None:
    written(tmp_path / "secret.txt", "the secret")
    pictures(tmp_path / "set", ["a.png"])
    place = FileTree(str(tmp_path / "set"))
    for reader in (place.read, place.table, lambda n: place.opened(n).__enter__()):
        with pytest.raises(DataError):
            reader(name)


@attack("a state.json that names files elsewhere")
def test_state_json(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_dict({"label": ["secret"], "image": ["x"]}).save_to_disk(str(tmp_path / "other"))
    (tmp_path / "set").mkdir()
    arrow = next((tmp_path / "other").glob("*.arrow"))
    written(tmp_path / "set" / "x.arrow", arrow.read_bytes())
    written(tmp_path / "set" / "state.json", json.dumps({"_data_files": [{"filename": f"../other/{arrow.name}"}]}))
    with pytest.raises(DataError, match="lies outside"):
        read(tmp_path / "set", format="huggingface", targets={"label": "label"})


@attack("a pipe in the place of a file")
def test_a_pipe(tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "b.png")
    place = FileTree(str(tmp_path))
    assert [*place.versions] == ["a.png"]
    with pytest.raises(DataError, match="is no file"):
        place.read("b.png")


# --- addresses


@attack("a kind of URL that runs or opens something else")
@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "reference://x",
        "simplecache::http://example.org/x.zip",
        "file:///etc",
        "dask://x",
        "git://x",
    ],
)
def test_kinds_of_urls(url: str) -> None:
    with pytest.raises(DataError, match="kind of URL"):
        _ = FileTree(url).versions


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    """A port of loopback, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'<a href="secret.png">secret.png</a>')

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found.server_port, asked
        found.shutdown()


@attack("a URL of data or weights that leads to this machine")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_urls_of_this_machine(host: str, server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    port, asked = server
    monkeypatch.delenv("MTL_LOCAL_SERVERS", raising=False)
    for path in (f"http://{host}:{port}/data", f"http://{host}:{port}/x.zip"):
        with pytest.raises(DataError, match="MTL_LOCAL_SERVERS"):
            _ = FileTree(path).versions
    weights = FilePretrained(type="file", path=f"http://{host}:{port}/w.safetensors", sha256="0" * 64)
    with pytest.raises(DataError, match="MTL_LOCAL_SERVERS"):
        _from_file(weights)
    assert asked == []


@attack("a server that sends on to this machine or to the cloud's credentials")
def test_where_a_server_may_send_on_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_LOCAL_SERVERS", raising=False)
    for address in (
        "169.254.169.254",
        "fe80::1%eth0",
        "127.0.0.1",
        "::1",
        "::ffff:10.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "0.0.0.0",
    ):
        with pytest.raises(DataError, match="private network"):
            refuse_address(address, private=False)
    refuse_address("10.0.0.1", private=True)
    refuse_address("93.184.216.34", private=False)
    monkeypatch.setenv("MTL_LOCAL_SERVERS", "1")
    refuse_address("127.0.0.1", private=False)
    with pytest.raises(DataError):
        refuse_address("169.254.169.254", private=True)

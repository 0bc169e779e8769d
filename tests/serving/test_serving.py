"""Batch prediction and the endpoint: the packaged model, as its users meet it."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from mtl.data.raw.rows import read_split
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError
from mtl.package.predictor import Predictor
from mtl.reports import read_report
from mtl.reports.prediction import Prediction
from mtl.serving.batch import as_parquet
from mtl.serving.disagreement import write_disagreement
from mtl.serving.sources import choose
from mtl.storage.store import Store
from mtl.tasks.answers import answer_of
from tests.browser import Browser
from tests.conftest import ROOT, clean_environment, free_port, package_of
from tests.flows.watch import Watched, kill_family
from tests.serving.fuzz import run


@pytest.fixture(scope="module")
def package(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_of(bundle, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def images(raw: Path, spec: DatasetSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny test split as files, in folders, one of them no image."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "deep").mkdir()
    for i, sample in enumerate(read_split(raw, "test", spec)):
        assert isinstance(sample.image, bytes)
        (folder / ("deep" if i % 2 else "") / f"{sample.id}.png").write_bytes(sample.image)
    (folder / "deep" / "broken.png").write_bytes(b"nonsense")
    return folder


def predicted(package: Path, images: list[str], out: Path, formats: str, **environment: str) -> dict[str, Any]:
    """Run the prediction in a process of its own, as the commands do."""
    command, result = _command([package], images, out, formats)
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment() | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return read_report(Prediction, result).as_json() | {"lines": done.stdout}


def _command(packages: list[Path], images: list[str], out: Path, formats: str) -> tuple[list[str], Path]:
    result = out.parent / f"{out.name}.json"
    job = {
        "packages": [str(package) for package in packages],
        "labels": ["one", "other"],
        "images": images,
        "out": str(out),
        "formats": formats.split(","),
        "result": str(result),
    }
    return [sys.executable, "-m", "mtl.entrypoints.predict", json.dumps(job)], result


@pytest.mark.slow
def test_a_folder_in_every_format(package: Path, bundle: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = predicted(package, [str(images)], out, "parquet,coco,masks,overlays")
    assert (found["images"], found["failed"], found["made"]) == (49, 1, 49)
    rows = {Path(row["_path"]).name: row for row in pq.read_table(out / "predictions.parquet").to_pylist()}
    assert len(rows) == 49
    assert "no known format" in rows["broken.png"]["_error"]
    assert rows["broken.png"]["digit"] is None
    predictor = Predictor(bundle)
    files = sorted(images.rglob("test-*.png"))
    for path, expected in zip(files, predictor.predict(files), strict=True):
        row = {key: value for key, value in rows[path.name].items() if not key.startswith("_")}
        assert row.keys() == expected.keys()
        assert row["digit"] == expected["digit"]
        assert row["count"] == pytest.approx(expected["count"], abs=1e-5)
        assert row["regions"] == expected["regions"]
    first = files[0].relative_to(images).as_posix()
    assert (out / "masks" / "regions" / f"{first}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "overlays" / f"{first}.png").stat().st_size > 1000
    document = json.loads((out / "coco_objects.json").read_text())
    assert len(document["images"]) == 49
    assert {a["category_id"] for a in document["annotations"]} <= {c["id"] for c in document["categories"]}
    # Again: nothing is made. With another image: only its chunk.
    assert predicted(package, [str(images)], out, "parquet,coco,masks,overlays")["made"] == 0


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(package: Path, images: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    data = next(images.glob("*.png")).read_bytes()
    for i in range(1500):
        (many / f"{i:05}.png").write_bytes(data)
    out = tmp_path / "out"
    command, _ = _command([package], [str(many)], out, "parquet")
    watched = Watched(command, ROOT, clean_environment())
    deadline = time.monotonic() + 120
    while len(list((out / "parts").glob("*.json"))) < 2:
        assert watched.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_family(watched.process.pid)
    watched.process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    complete = {path.stem for path in (out / "parts").glob("*.json")}
    found = predicted(package, [str(many)], out, "parquet")
    assert 0 < found["made"] < 1500
    assert "images are done already" in found["lines"]
    for name in complete:
        assert (out / "parts" / f"{name}.parquet").stat().st_mtime_ns == done[f"{name}.parquet"]
    assert pq.read_table(out / "predictions.parquet").num_rows == 1500


def test_what_is_meant_by_a_path(images: Path, tmp_path: Path) -> None:
    assert len(choose([str(images)])) == 49
    single = next(images.glob("*.png"))
    assert [one.label for one in choose([str(single), str(single)])] == [str(single)]
    assert len(choose([f"{images}/*.png", str(images)])) == 49
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", images)
    assert len(choose([archive])) == 49
    for wrong, fragment in ((str(tmp_path / "absent"), "not there"), (f"{tmp_path}/*.png", "matches nothing")):
        with pytest.raises(DataError, match=fragment):
            choose([wrong])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no image to predict"):
        choose([str(tmp_path / "empty")])


# --- two models on one batch


def test_disagreement_by_task(bundle: Path) -> None:
    tasks = Predictor(bundle).tasks
    box = {"label": "3", "score": 0.9, "x1": 0.0, "y1": 0.0, "x2": 10.0, "y2": 10.0}
    moved, other = box | {"x1": 1.0, "x2": 11.0}, box | {"label": "4"}
    weak = box | {"score": 0.1}
    objects = tasks["objects"]
    assert answer_of(objects).distance([box], [moved]) == 0.0
    assert answer_of(objects).distance([box], [other]) == 1.0
    assert answer_of(objects).distance([box, weak], [box]) == 0.0
    assert answer_of(objects).distance([box], []) == 1.0
    assert answer_of(objects).distance([weak], []) == 0.0
    assert answer_of(objects).distance([box, box | {"x1": 50.0, "x2": 60.0}], [box]) == pytest.approx(1 / 3)
    assert answer_of(tasks["digit"]).distance("1", "1") == 0.0
    assert answer_of(tasks["digit"]).distance("1", "2") == 1.0
    assert answer_of(tasks["count"]).distance(1.5, 1.0) == 0.5


def test_two_models_on_a_batch_and_what_differs(bundle: Path, package: Path, images: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    (other / "artifacts" / "bundle").mkdir(parents=True)
    for path in bundle.iterdir():
        (other / "artifacts" / "bundle" / path.name).write_bytes(path.read_bytes())
    weights = load_file(bundle / "weights.safetensors")
    (head,) = (
        name
        for name in weights
        if name.startswith("heads.count.") and weights[name].ndim == 1 and len(weights[name]) == 1
    )
    save_file({**weights, head: weights[head] + torch.ones(1)}, other / "artifacts" / "bundle" / "weights.safetensors")
    chosen, stores = choose([str(images)]), (Store(str(tmp_path / "one")), Store(str(tmp_path / "other")))
    for folder, store in zip((package, other), stores, strict=True):
        predictor = Predictor(folder / "artifacts" / "bundle")
        answers = predictor.answers([Path(one.label) for one in chosen])
        store.put("parts/all.parquet", as_parquet(chosen, answers, predictor))
        store.put("index.json", b'{"parts": ["all"]}')
    found = write_disagreement(tmp_path, (package, other), chosen, stores)
    assert found.tasks["count"].mean == pytest.approx(1.0, abs=1e-4)
    assert found.tasks["count"].changed == 1.0
    assert all(one.mean == 0.0 for name, one in found.tasks.items() if name != "count")
    assert len(found.most_different) == 12
    assert found.picture is not None
    assert Path(found.picture).read_bytes().startswith(b"\x89PNG")
    same = write_disagreement(tmp_path, (package, package), chosen, (stores[0], stores[0]))
    assert same.most_different == ()
    assert same.picture is None


# --- the endpoint


@pytest.fixture(scope="module")
def endpoint(bundle: Path) -> Iterator[tuple[str, Watched]]:
    """The address of a running endpoint, and its process."""
    port = free_port()
    job = {"bundle": str(bundle), "version": "7", "host": "127.0.0.1", "port": port, "replicas": 1}
    command = [sys.executable, "-m", "mtl.entrypoints.endpoint", json.dumps(job)]
    watched = Watched(command, ROOT, clean_environment())
    watched.until("model    http", 180)
    yield f"http://127.0.0.1:{port}", watched
    family = psutil.Process(watched.process.pid).children(recursive=True)
    watched.process.send_signal(signal.SIGTERM)
    watched.process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, [process.cmdline() for process in alive]


@pytest.fixture(scope="module")
def encoded(images: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(images.rglob("test-*.png"))]


def test_it_answers_as_the_package_does(endpoint: tuple[str, Watched], bundle: Path, encoded: list[bytes]) -> None:
    address, _ = endpoint
    expected = Predictor(bundle).predict(encoded[:3])
    one = httpx.post(f"{address}/predict", content=encoded[0], headers={"content-type": "image/png"}, timeout=60)
    assert one.status_code == 200
    body = {"images": [base64.b64encode(image).decode() for image in encoded[:3]]}
    several = httpx.post(f"{address}/predict", json=body, timeout=60).json()
    assert several["version"] == "7"
    for found, row in zip(several["predictions"], expected, strict=True):
        assert found.keys() == row.keys()
        assert found["digit"] == row["digit"]
        assert found["regions"] == row["regions"]
        assert found["count"] == pytest.approx(row["count"], abs=1e-5)
    assert one.json()["predictions"][0]["digit"] == expected[0]["digit"]
    described = httpx.get(f"{address}/model", timeout=60).json()
    assert described["tasks"]["regions"]["serves"] == "mask"
    assert httpx.get(f"{address}/health", timeout=60).json() == {"status": "ok", "version": "7"}


@pytest.mark.parametrize(
    ("content", "kind", "status", "fragment"),
    [
        (b"", "image/png", 400, "empty"),
        (b"nonsense", "image/png", 400, "no known format"),
        (b"x", "text/html", 415, "content type"),
        (b"{", "application/json", 400, "not JSON"),
        (b'{"image": 1}', "application/json", 400, "no list"),
        (b'{"images": []}', "application/json", 400, "none"),
        (b'{"images": ["/etc/passwd"]}', "application/json", 400, "not base64"),
        (b'{"images": ["aaaa"]}', "application/json", 400, "no known format"),
        (json.dumps({"images": ["aaaa"] * 65}).encode(), "application/json", 413, "too many"),
        pytest.param(bytes(33 * 2**20), "image/png", 413, "too large", id="33 MiB"),
    ],
)
def test_what_it_refuses(endpoint: tuple[str, Watched], content: bytes, kind: str, status: int, fragment: str) -> None:
    answer = httpx.post(f"{endpoint[0]}/predict", content=content, headers={"content-type": kind}, timeout=60)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert fragment in error["what"]
    assert set(error) == {"what", "found", "fix"}


def test_an_endless_body_is_cut_off(endpoint: tuple[str, Watched]) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(2**20)

    try:
        answer = httpx.post(
            f"{endpoint[0]}/predict", content=endless(), headers={"content-type": "image/png"}, timeout=60
        )
        assert answer.status_code == 413
    except httpx.WriteError:  # it hung up while we were still sending
        pass
    assert httpx.get(f"{endpoint[0]}/health", timeout=60).status_code == 200


def test_fuzzed_requests_get_no_5xx(endpoint: tuple[str, Watched], encoded: list[bytes]) -> None:
    outcome = run(endpoint[0], 600, 1, encoded)
    assert not outcome.wrong, "\n".join(outcome.wrong[:10])
    assert outcome.statuses[200] > 60
    assert sum(count for status, count in outcome.statuses.items() if 400 <= status < 500) > 300


def test_the_page_shows_what_the_model_sees(endpoint: tuple[str, Watched], images: Path, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(endpoint[0])
        browser.wait_for("document.getElementById('model').textContent.startsWith('version 7')")
        browser.choose_file("#file", next(images.glob("test-*.png")))
        browser.wait_for("!document.getElementById('answers').hidden")
        rows = browser.evaluate("document.querySelectorAll('#answers tbody tr').length")
        assert rows == 5  # all tasks but the mask, which is drawn
        assert browser.evaluate("document.getElementById('picture').width") >= 64
        assert browser.evaluate("document.getElementById('keys').textContent").startswith("regions: digit")
        browser.choose_file("#file", images / "deep" / "broken.png")
        browser.wait_for("document.getElementById('problem').textContent.includes('no known format')")
        assert browser.evaluate("document.getElementById('answers').hidden")
        browser.screenshot(tmp_path / "page.png")
        assert browser.problems() == []

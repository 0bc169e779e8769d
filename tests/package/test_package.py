"""The packaged model: rebuilt from JSON and safetensors, the same predictions, nothing pickled."""

from __future__ import annotations

import base64
import io
import json
import pickletools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.models import get_model_info
from PIL import Image
from safetensors.torch import save_file

from mtl.data.loading.loader import Split, collate
from mtl.data.raw.rows import read_split
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError
from mtl.package.bundle import read_bundle
from mtl.package.mlflow_model import write_mlflow_model
from mtl.package.predictor import Predictor
from tests.conftest import ROOT, clean_environment, image_of


def test_served_equals_evaluated(bundle: Path, prepared: Path, raw: Path, spec: DatasetSpec) -> None:
    samples = [sample for sample, _ in zip(read_split(raw, "test", spec), range(6), strict=False)]
    rows: list[dict[str, Any]] = Predictor(bundle).predict([image_of(sample) for sample in samples])
    model, tasks, _ = read_bundle(bundle)
    batch = collate(Split(prepared, "test"), np.arange(6))
    with torch.inference_mode():
        outputs = model(batch.images)
    digits, counts = tasks["digit"].predict(outputs["digit"]), tasks["count"].predict(outputs["count"])
    boxes = tasks["objects"].predict(outputs["objects"])
    for i, row in enumerate(rows):
        assert row["digit"] == digits[i]["label"]
        assert row["count"] == pytest.approx(counts[i]["value"], abs=1e-5)
        assert len(row["objects"]) == len(boxes[i]["boxes"])
        assert base64.b64decode(row["regions"]).startswith(b"\x89PNG")


def test_bytes_files_and_arrays_are_one_image(bundle: Path, raw: Path, spec: DatasetSpec, tmp_path: Path) -> None:
    from mtl.data.prepare.operations import decode

    sample = next(iter(read_split(raw, "test", spec)))
    (tmp_path / "image.png").write_bytes(image_of(sample))
    predictor = Predictor(bundle)
    rows = predictor.predict([image_of(sample), tmp_path / "image.png", decode(image_of(sample))])
    for row in rows[1:]:  # places in a batch may differ in the last bit
        assert row["digit"] == rows[0]["digit"]
        assert row["regions"] == rows[0]["regions"]
        assert row["count"] == pytest.approx(rows[0]["count"], abs=1e-5)
    for wrong, fragment in (
        (tmp_path / "absent.png", "cannot be read"),
        (np.zeros((4, 4), np.uint8), "an array is no image"),
        (np.zeros((4, 4, 3)), "an array is no image"),
    ):
        with pytest.raises(DataError, match=fragment):
            predictor.predict([wrong])


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_predictions_are_of_the_picture_that_a_viewer_shows(bundle: Path, keep_aspect: bool) -> None:
    """A photograph stored on its side: masks have the size that it is shown at, and boxes lie in it."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 255, (67, 101, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    predictor = Predictor(bundle)
    operations = tuple(
        o.model_copy(update={"keep_aspect": keep_aspect}) if o.type == "resize" else o
        for o in predictor.bundle.operations
    )
    predictor.bundle = predictor.bundle.model_copy(update={"operations": operations})
    row: dict[str, Any] = predictor.predict([buffer.getvalue()])[0]
    assert Image.open(io.BytesIO(base64.b64decode(row["regions"]))).size == (67, 101)
    assert predictor.shown(buffer.getvalue()).shape == (101, 67, 3)
    assert row["objects"]
    for box in row["objects"]:
        assert 0 <= box["x1"] < box["x2"] <= 67
        assert 0 <= box["y1"] < box["y2"] <= 101


def test_one_bad_image_does_not_cost_the_others(bundle: Path, raw: Path, spec: DatasetSpec) -> None:
    sample = next(iter(read_split(raw, "test", spec)))
    predictor = Predictor(bundle)
    good, bad, again = predictor.answers([image_of(sample), b"nonsense", image_of(sample)])
    assert isinstance(bad, DataError)
    assert isinstance(good, dict)
    assert isinstance(again, dict)
    assert good["digit"] == again["digit"] == predictor.predict([image_of(sample)])[0]["digit"]


def test_a_real_package_is_small_and_no_scanner_finds_anything(bundle: Path, tmp_path: Path) -> None:
    from picklescan.scanner import scan_directory_path

    report = write_mlflow_model(tmp_path / "model", bundle)
    found = scan_directory_path(str(tmp_path / "model"))
    assert found.issues_count == 0
    assert found.infected_files == 0
    assert not found.globals  # no pickle at all
    weights = (bundle / "weights.safetensors").stat().st_size
    assert report.num_bytes <= 1.1 * weights + 2 * 2**20


def test_it_loads_with_no_network_and_no_hub(bundle: Path, tmp_path: Path) -> None:
    """In a network namespace with nothing in it, not even loopback."""
    write_mlflow_model(tmp_path / "model", bundle)
    script = "import sys, mlflow; mlflow.pyfunc.load_model(sys.argv[1])"
    command = ["unshare", "-n", sys.executable, "-c", script, str(tmp_path / "model")]
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_bad_image_is_named(bundle: Path) -> None:
    with pytest.raises(DataError, match="image 0"):
        Predictor(bundle).predict([b"nonsense"])


def test_weights_of_another_model_are_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes((bundle / "bundle.json").read_bytes())
    with pytest.raises(DataError, match="incomplete"):
        read_bundle(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="damaged"):
        read_bundle(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        read_bundle(tmp_path)


def test_mlflow_loads_it_without_pickle(bundle: Path, raw: Path, spec: DatasetSpec, tmp_path: Path) -> None:
    """With the installed loader."""
    report = write_mlflow_model(tmp_path / "model", bundle)
    assert len(report.weights_sha256) == 64
    for path in (tmp_path / "model").rglob("*"):
        assert path.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".py", ".pyc", ".so"), path
        if path.is_file():
            with pytest.raises(Exception):  # noqa: B017, PT011  # no file parses as a pickle
                list(pickletools.genops(path.read_bytes()))
    sample = next(iter(read_split(raw, "test", spec)))
    script = (
        "import sys, json, base64, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "found = model.predict(pd.DataFrame({'image': [base64.b64decode(sys.argv[2])]}))\n"
        "import mtl; assert sys.argv[1] not in mtl.__file__, mtl.__file__\n"
        "print(json.dumps(found.iloc[0].to_dict()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model"), base64.b64encode(image_of(sample)).decode()],
        cwd=tmp_path,
        env=clean_environment() | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.strip().splitlines()[-1])
    direct = Predictor(bundle).predict([image_of(sample)])[0]
    assert row["digit"] == direct["digit"]
    assert row["count"] == pytest.approx(direct["count"], abs=1e-5)
    signature = get_model_info(str(tmp_path / "model")).signature
    assert signature is not None
    assert signature.inputs.input_names() == ["image"]
    assert "objects" in signature.outputs.input_names()


def test_the_model_takes_base64_as_json_requests_send_it(bundle: Path, raw: Path, spec: DatasetSpec) -> None:
    from mtl.package.predictor import as_input

    sample = next(iter(read_split(raw, "test", spec)))
    frame = pd.DataFrame({"image": [base64.b64encode(image_of(sample)).decode()]})
    assert as_input(frame["image"][0]) == image_of(sample)
    with pytest.raises(DataError, match="neither bytes nor base64"):
        as_input("%%%")

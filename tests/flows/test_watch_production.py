"""`mtl serve` with a monitor: images that have shifted arrive, one retraining follows, and its version says why."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import free_port, make_checkout, mtl, set_params
from tests.end_to_end.test_end_to_end import status
from tests.flows.test_schedule import runs, serving, wait

SETS = "{own: {format: image_folder, path: data/photos}, new: {format: image_folder, path: data/incoming, id_prefix: new/}}"


def photograph(rng: np.random.Generator, kind: str, dark: bool) -> np.ndarray:
    """A square or a disc on noise."""
    image = rng.integers(90, 160, (32, 32, 3), np.uint8)
    x, y = (int(v) for v in rng.integers(8, 24, 2))
    colour = tuple(int(v) for v in rng.integers(180, 255, 3))
    if kind == "square":
        cv2.rectangle(image, (x - 5, y - 5), (x + 5, y + 5), colour, -1)
    else:
        cv2.circle(image, (x, y), 6, colour, -1)
    return image // 4 if dark else image


def fill(folder: Path, count: int, seed: int, *, dark: bool) -> None:
    rng = np.random.default_rng(seed)
    for kind in ("square", "disc"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            cv2.imwrite(str(folder / kind / f"{seed}-{i:03}.png"), photograph(rng, kind, dark))


@pytest.mark.long
def test_a_shift_starts_one_retraining_that_says_why(tmp_path: Path, downloads: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout", downloads)
    fill(checkout / "data" / "photos", 120, 0, dark=False)
    fill(checkout / "data" / "incoming", 5, 1, dark=False)
    set_params(
        checkout / "params.yaml",
        f"data.source={{type: files, sets: {SETS}}}",
        "tasks={label: {type: classification, floor: 0.0}}",
        "data.operations.2.height=32",
        "data.operations.2.width=32",
        "monitor.path=data/incoming",
        "monitor.min_images=40",
        "monitor.cron='* * * * *'",
        "schedule.cron='0 0 1 1 *'",
        "schedule.catch_up=none",
    )
    first = mtl(checkout, "retrain")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert status(checkout)["champion"]["version"] == 1
    port = free_port()
    with serving(checkout, port) as served:
        wait(lambda: runs(port, "COMPLETED"), 240, served)  # a look at too few images
        fill(checkout / "data" / "incoming", 40, 2, dark=True)
        wait(lambda: (versions := _versions(checkout)) and len(versions) == 2, 420, served)
        wait(lambda: status(checkout)["last_run"]["state"] == "Completed", 120, served)
        fill(checkout / "data" / "incoming", 40, 3, dark=True)
        before = len(runs(port, "COMPLETED"))
        wait(lambda: len(runs(port, "COMPLETED")) >= before + 2, 240, served)  # looks that cool down
    lineage = json.loads(mtl(checkout, "lineage", "2", "--json").stdout)
    assert "shifted" in lineage["reason"]
    assert len(_versions(checkout)) == 2
    states = [json.loads(path.read_text())["reasons"] for path in (checkout / ".mtl" / "monitor").glob("*/report.json")]
    assert len(states) == 2
    assert all(states)


def _versions(checkout: Path) -> list[str]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{checkout}/.mtl/mlflow.db")
    return [version.version for version in client.search_model_versions("name = 'multitask'")]

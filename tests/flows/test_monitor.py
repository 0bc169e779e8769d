"""Shift: found when it is there, rarely when it is not; an event, a pause after it, and a retraining that says why."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flows.retraining.monitor import look
from mtl.config.params import load
from mtl.data.raw.rows import read_split
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError, StageError
from mtl.monitor import profile as profiles
from mtl.monitor.drift import compare
from mtl.monitor.page import write_page
from mtl.monitor.profile import Profile
from mtl.monitor.unlike import distances
from mtl.package.drift_reference import profile, write_reference
from mtl.package.predictor import Predictor
from mtl.reports.monitoring import MonitorReport, Outcome
from mtl.serving.looked import look as look_at
from tests.conftest import embedded, free_port, mtl, set_params


def population(rng: np.random.Generator, count: int, shift: float = 0.0) -> Profile:
    """Simulated images: six statistics, some of them related, two tasks' labels, eight dimensions of embedding."""
    base = rng.normal(0, 1, (count, 8)) + shift
    values = {f"stat{i}": (base[:, i] + rng.normal(0, 0.5, count)).astype(np.float32) for i in range(5)}
    values["count"] = rng.poisson(2 + max(shift, 0), count).astype(np.float32)
    share = np.array([0.5, 0.3, 0.2])
    labels = {name: rng.choice(3, count, p=share) for name in ("one", "other")}
    return Profile(values, labels, {name: ["a", "b", "c"] for name in labels}, base.astype(np.float32))


def test_false_alarms_in_at_most_five_percent_of_100_batches() -> None:
    alarms = 0
    for draw in range(100):
        rng = np.random.default_rng(draw)
        reference = population(rng, 500)
        alarms += any(one.shifted for one in compare(reference, population(rng, 100), alpha=0.05, min_psi=0.0))
    assert alarms / 100 <= 0.05 + 1.64 * (0.05 * 0.95 / 100) ** 0.5


def test_power_grows_with_the_shift_and_the_batch() -> None:
    def power(shift: float, size: int) -> float:
        found = 0
        for draw in range(40):
            rng = np.random.default_rng(draw)
            findings = compare(population(rng, 500), population(rng, size, shift), alpha=0.05, min_psi=0.05)
            found += any(one.shifted for one in findings)
        return found / 40

    powers = [power(shift, 100) for shift in (0.0, 0.3, 0.6)]
    assert powers == sorted(powers)
    assert powers[0] <= 0.1
    assert powers[-1] > 0.95
    assert power(0.3, 300) > power(0.3, 50)


def test_each_kind_of_shift_is_named() -> None:
    rng = np.random.default_rng(0)
    reference, batch = population(rng, 500), population(rng, 200)
    batch.values["stat3"] += 2
    batch.labels["one"] = rng.choice(3, 200, p=[0.1, 0.1, 0.8])
    shifted = {one.name: one.test for one in compare(reference, batch, alpha=0.05, min_psi=0.1) if one.shifted}
    assert shifted == {"stat3": "ks", "one": "chi2"}
    only_embedding = population(rng, 200)
    assert only_embedding.embedding is not None
    only_embedding.embedding += 1.0
    found = [one.name for one in compare(reference, only_embedding, alpha=0.05, min_psi=0.1) if one.shifted]
    assert found == ["embedding"]


def test_a_shift_too_small_to_matter_is_none() -> None:
    rng = np.random.default_rng(0)
    reference, batch = population(rng, 20000), population(rng, 20000)
    batch.values["stat0"] += 0.1
    significant = compare(reference, batch, alpha=0.05, min_psi=0.0)[0]
    assert (significant.name, significant.shifted) == ("stat0", True)
    assert not compare(reference, batch, alpha=0.05, min_psi=0.1)[0].shifted


def test_as_far_as_its_own_groups_are_apart_is_no_shift() -> None:
    """Three places, each with a light of its own; images come from one of them, then from a fourth, and then at night."""
    rng = np.random.default_rng(0)

    def place(light: float, count: int) -> Profile:
        found = population(rng, count)
        found.values["light"] = rng.normal(light, 1.0, count).astype(np.float32)
        return found

    parts = [place(light, 300) for light in (-0.4, 0.0, 0.4)]
    grouped = profiles.join([replace(part, groups=np.full(300, i)) for i, part in enumerate(parts)])
    alarms = sum(
        any(one.shifted for one in compare(grouped, place(rng.choice([-0.4, 0.0, 0.4]), 100), alpha=0.05, min_psi=0.1))
        for _ in range(15)
    )
    assert alarms <= 2
    blind = replace(grouped, groups=None)
    assert sum(any(one.shifted for one in compare(blind, place(0.4, 100), alpha=0.05, min_psi=0.1)) for _ in range(3))
    (night,) = [one for one in compare(grouped, place(-3.0, 100), alpha=0.05, min_psi=0.1) if one.shifted]
    assert night.name == "light"
    assert night.index > night.usual > 0


def test_empty_and_constant_columns_do_not_stop_it() -> None:
    nothing = np.full(50, np.nan, np.float32)
    reference = Profile(
        {"empty": nothing, "same": np.ones(50, np.float32)}, {"l": np.zeros(50, np.int64)}, {"l": ["a"]}
    )
    assert not any(one.shifted for one in compare(reference, reference, alpha=0.05, min_psi=0.0))


def test_images_without_a_label_or_a_value_have_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reference, batch = population(rng, 200), population(rng, 60, shift=2.0)
    for side in (reference, batch):
        side.labels["one"][::3] = -1
        side.values["stat0"][::3] = np.nan
    findings = [one.reported() for one in compare(reference, batch, alpha=0.05, min_psi=0.1)]
    assert {"one", "stat0"} <= {one.name for one in findings}
    result = MonitorReport(
        version=1, images=60, unreadable=(), findings=tuple(findings), late=(), judged=0, reasons=(), unjudged=("<x>",)
    )
    write_page(tmp_path / "page.html", result, reference, batch)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == min(9, sum(one.test in ("ks", "chi2") for one in findings))
    assert "<li>&lt;x&gt;</li>" in page
    assert "nothing could be judged" in page
    lacking = [one.reported() for one in compare(reference, batch.take(np.arange(5)), alpha=0.05, min_psi=0.1)]
    write_page(
        tmp_path / "page.html",
        result.model_copy(update={"findings": tuple(lacking)}),
        reference,
        batch.take(np.arange(5)),
    )
    assert "not compared: too few images have one: 5 in production" in (tmp_path / "page.html").read_text()
    write_page(tmp_path / "page.html", result.model_copy(update={"findings": ()}), reference, None)
    assert "<svg" not in (tmp_path / "page.html").read_text()


def test_what_is_least_like_the_reference_is_found() -> None:
    rng = np.random.default_rng(0)
    reference, batch = population(rng, 200), population(rng, 60)
    assert batch.embedding is not None
    batch.embedding[[7, 31]] += 6
    assert {*np.argsort(-distances(reference, batch))[:2]} == {7, 31}
    for side in (reference, batch):  # a network without one level of features for all
        side.embedding = None
        side.values["constant"] = np.ones(len(side), np.float32)
        side.values["none"] = np.full(len(side), np.nan, np.float32)
    batch.values["stat1"][12] = 40
    batch.values["stat2"][13], batch.values["stat3"][14] = np.nan, np.inf
    found = distances(reference, batch)
    assert found.argmax() == 12
    assert np.isfinite(found).all()
    assert distances(reference, reference).mean() == pytest.approx(1, abs=0.3)


def test_columns_have_words_for_people() -> None:
    called = [profiles.in_words(name) for name in ("image/channel_0", "image/brightness", "digit/score", "embedding")]
    assert called == ["image: mean of channel 1", "image: brightness", "digit/score", "embedding"]


def test_a_reference_travels(tmp_path: Path) -> None:
    before = population(np.random.default_rng(0), 30)
    profiles.write(tmp_path / "x", before)
    after = profiles.read(tmp_path / "x")
    assert after.classes == before.classes
    assert after.embedding is not None
    assert before.embedding is not None
    assert np.allclose(after.embedding, before.embedding, rtol=1e-3)
    assert all(np.allclose(after.values[n], before.values[n], rtol=1e-3) for n in before.values)
    with pytest.raises(DataError, match="has no reference"):
        profiles.read(tmp_path / "absent")
    (tmp_path / "x").write_bytes(b"?")
    with pytest.raises(DataError, match="damaged"):
        profiles.read(tmp_path / "x")


def test_production_images_get_the_references_profile(
    bundle: Path, prepared: Path, raw: Path, spec: DatasetSpec, tmp_path: Path
) -> None:
    """The same images through the package's way and through the prepared shards."""
    predictor = Predictor(bundle)
    write_reference(tmp_path, predictor.model, predictor.tasks, prepared, 7)
    everything = profiles.read(tmp_path / profiles.NAME)
    assert everything.groups is not None
    assert np.bincount(everything.groups).tolist() == [96, 24, 48]
    assert np.isnan(everything.values["digit/score"][everything.groups == 0]).all()
    assert (everything.labels["digit"][everything.groups == 0] == -1).all()
    reference = everything.take(np.flatnonzero(everything.groups == 1))
    pictures = [predictor.prepare(sample.image) for sample in read_split(raw, "val", spec)]  # type: ignore[arg-type]
    pixels = np.stack([picture.image for picture in pictures])  # type: ignore[union-attr]
    again = profile(predictor.model, predictor.tasks, predictor.statistics, pixels)
    assert len(reference) == len(again) == 24
    for name, values in reference.values.items():
        assert np.allclose(np.sort(values), np.sort(again.values[name]), rtol=2e-3, atol=1e-4), name
    assert not any(one.shifted for one in compare(reference, again, alpha=0.05, min_psi=0.0))


# --- the flow's look


@pytest.fixture
def watched(retrained: Path, raw: Path, spec: DatasetSpec) -> Any:
    """The retrained checkout with an empty `incoming`."""
    incoming = retrained / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.rmtree(retrained / ".mtl" / "monitor", ignore_errors=True)
    incoming.mkdir()
    yield incoming
    shutil.rmtree(incoming)


def drop(incoming: Path, raw: Path, spec: DatasetSpec, prefix: str, shift: bool) -> None:
    for sample in read_split(raw, "val", spec):
        assert isinstance(sample.image, bytes)
        image = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        cv2.imwrite(str(incoming / f"{prefix}-{sample.id}.png"), 255 - image // 4 if shift else image)


def test_a_shift_is_an_event_once_and_then_it_cools_down(
    retrained: Path, watched: Path, raw: Path, spec: DatasetSpec
) -> None:
    settings = embedded(retrained)
    config = load(retrained / "params.yaml", ["monitor.min_images=20"])
    events: list[Outcome] = []

    def tell(model: str, result: Outcome, batch: str) -> None:
        events.append(result)

    def now() -> Outcome:
        return look(settings, config, tell)

    drop(watched, raw, spec, "a", shift=False)
    assert now().state == "unshifted"
    assert now().as_json() == {"state": "waiting", "images": 0}
    drop(watched, raw, spec, "b", shift=True)
    (watched / "broken.png").write_bytes(b"x")
    found = now()
    assert found.state == "event"
    assert found.reason is not None
    assert "shifted" in found.reason
    assert found.page is not None
    assert "<svg" in Path(found.page).read_text()
    report = json.loads((Path(found.page).parent / "report.json").read_text())
    assert report["unreadable"] == [["broken.png", "an image cannot be decoded: no known format"]]
    drop(watched, raw, spec, "c", shift=True)
    assert now().state == "cooling"
    assert len(events) == 1


def test_labels_that_come_late_are_judged_by_what_was_answered(
    retrained: Path, watched: Path, raw: Path, spec: DatasetSpec
) -> None:
    """The images are gone by then; a copy of one counts once, and what cannot be judged is said."""
    before = (retrained / "params.yaml").read_text()
    set_params(retrained / "params.yaml", "monitor.min_images=20", "monitor.labels=labels.csv")
    events: list[str] = []

    def now() -> tuple[Outcome, dict[str, Any]]:
        config = load(retrained / "params.yaml")
        found = look(embedded(retrained), config, lambda *told: events.append(told[2]))
        assert found.page is not None
        return found, json.loads(Path(found.page).with_name("report.json").read_text())

    try:
        drop(watched, raw, spec, "a", shift=False)
        names = sorted(path.name for path in watched.iterdir())
        shutil.copy(watched / names[0], watched / "z-copy.png")
        found, report = now()
        assert (found.state, report["copies"], report["late"]) == ("unshifted", ["z-copy.png"], [])
        assert len(report["findings"]) == report["judged"] > 15
        assert "1 images have the bytes of another one: each counts once" in report["unjudged"]
        for path in watched.iterdir():
            path.unlink()
        rows = [f"{name.removesuffix('.png')},1000,x,1\n" for name in [*names, "z-copy.png", "never.png"]]
        (retrained / "labels.csv").write_text("image,count,species,note\n" + "".join(rows))
        found, report = now()
        assert (found.state, len(events)) == ("event", 1)
        assert (found.reason or "").startswith("count mae 99")
        (row,) = report["late"]
        assert (row["task"], row["images"], row["worse"], row["version"]) == ("count", 24, True, 1)
        told = "; ".join(report["unjudged"])
        for line in ("no look has seen: never", "bytes of another one", "no class of the model: x", "labels of note"):
            assert line in told
        assert found.page is not None
        assert "count" in Path(found.page).read_text()
    finally:
        (retrained / "params.yaml").write_text(before)
        (retrained / "labels.csv").unlink(missing_ok=True)


def test_a_bucket_out_of_reach_is_no_unreadable_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_LOCAL_SERVERS", "1")
    nobody: Any = None  # is asked
    with pytest.raises(StageError, match=r"a\.png"):
        look_at(nobody, [(f"http://127.0.0.1:{free_port()}", "a.png", "")], answered=False)
    assert look_at(nobody, [(str(tmp_path), "a.png", "")], answered=False).unreadable[0][0] == "a.png"


def test_the_command(retrained: Path, watched: Path, raw: Path, spec: DatasetSpec, tmp_path: Path) -> None:
    before = (retrained / "params.yaml").read_text()
    set_params(retrained / "params.yaml", "monitor.min_images=20")
    try:
        drop(watched, raw, spec, "a", shift=True)
        done = mtl(retrained, "monitor")
        assert done.returncode == 3, done.stderr
        assert "event" in done.stdout
        (page,) = [*(retrained / ".mtl" / "monitor").glob("*/page.html")]
        assert page.read_text().count("predictions on the image") == 12
        again = mtl(retrained, "monitor", "--json")
        assert again.returncode == 0
        assert json.loads(again.stdout)["state"] == "waiting"
        shutil.rmtree(watched)
        gone = mtl(retrained, "monitor")
        assert gone.returncode == 2
        assert "is not there" in gone.stderr
    finally:
        (retrained / "params.yaml").write_text(before)
        watched.mkdir(exist_ok=True)

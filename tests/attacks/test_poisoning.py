"""Whoever supplies data supplies test samples too: what these alone show makes no champion."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from mtl.config.gate import GateConfig
from mtl.config.operations import Resize
from mtl.config.params import Config
from mtl.data.inspect.check_lines import as_lines
from mtl.data.inspect.checks import NOBODY, check
from mtl.data.inspect.report import DataReport
from mtl.data.inspect.shard_facts import known_digests
from mtl.data.loading.loader import Split
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample, write_spec, write_split
from mtl.data.shards import manifest
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.evaluate.bootstrap import jackknife_weights, resample_counts
from mtl.evaluate.evaluation import evaluate_weights
from mtl.gate import decide
from mtl.package.bundle import EVALUATION, write_bundle
from mtl.package.reevaluate import reevaluate
from mtl.reports import BlindReport, Decision, EvalReport, Metric, OwnSamples, TaskReport
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training
from tests.evaluate.test_blind import small

GATE = GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95)
ASKING = GATE.model_copy(update={"approval_minutes": 10})
RESAMPLES = 400


# --- reports: of which samples each version is right is known


@dataclass
class Version:
    """Share of right answers on the champion's own samples, and on those that have arrived."""

    own: float
    arrived: float


def reports(
    champion: Version, challenger: Version, num_own: int = 800, num_arrived: int = 200, num_gone: int = 0
) -> tuple[EvalReport, EvalReport]:
    """Challenger's and champion's, judged again: half of all answers depend on the sample alone."""
    rng = np.random.default_rng(3)
    count = num_own + num_arrived
    own = np.arange(count) < num_own
    shared, agree = rng.random(count), rng.random(count) < 0.5
    right = [
        np.where(agree, shared, rng.random(count)) < np.where(own, version.own, version.arrived)
        for version in (challenger, champion)
    ]
    parts = [{"kind": one(found[own])} for found in right] if 0 < num_own < count else [{}, {}]
    found = OwnSamples(num_samples=num_own, num_gone=num_gone, challenger=parts[0], champion=parts[1])
    new, old = (whole(one(found), count) for found in right)
    return new, old.model_copy(update={"own": found})


def one(right: np.ndarray) -> TaskReport:
    count = len(right)
    counts, parts = resample_counts(0, RESAMPLES, count), jackknife_weights(count)
    return TaskReport(
        type="classification",
        auxiliary=False,
        primary="accuracy",
        floor=None,
        metrics={"accuracy": Metric(value=float(right.mean()), direction="max")},
        replicates=tuple((counts @ right / count).tolist()),
        jackknife=tuple((parts @ right / parts.sum(1)).tolist()),
        blind=BlindReport(value=0.1, replicates=(0.1,) * RESAMPLES, jackknife=(0.1,) * len(parts)),
        num_targets=count,
        slices={},
    )


def whole(task: TaskReport, count: int) -> EvalReport:
    values = {"samples_sha256": "s", "num_samples": count, "seed": 0, "num_resamples": RESAMPLES, "confidence": 0.95}
    return EvalReport(tasks={"kind": task}, **values)


def refused(decision: Decision) -> set[str]:
    return {rule.name for rule in decision.rules if not rule.passed}


@pytest.mark.attack(boundary="data supplier", attack="a gain on arrivals that pays for a loss on all else")
def test_gains_on_arrivals_do_not_offset_losses_on_old_data() -> None:
    new, old = reports(champion=Version(0.95, 0.05), challenger=Version(0.84, 1.0))
    assert decide(new, old.model_copy(update={"own": None}), 1, GATE).promote  # as it was: +11 % on all samples
    for gate in (GATE, ASKING, GATE.model_copy(update={"min_improvement": None})):
        decision = decide(new, old, 1, gate)
        assert not decision.promote
        assert "own samples" in refused(decision)  # a person is not even asked
        assert "kind: own samples requires not surely worse than -2.0% on the 800 samples" in decision.summary


@pytest.mark.attack(boundary="data supplier", attack="a gain that arrivals alone carry")
def test_a_gain_that_arrivals_alone_carry_needs_a_person() -> None:
    new, old = reports(champion=Version(0.95, 0.05), challenger=Version(0.95, 1.0))
    alone = decide(new, old, 1, GATE)
    assert refused(alone) == {"gain without arrivals"}
    assert "200 of 1000 test samples have arrived; without them the mean gain is" in alone.summary
    assert "mtl promote --override --why" in alone.summary
    asked = decide(new, old, 1, ASKING)
    assert asked.promote  # if somebody says so: the flow asks before any promotion where approval_minutes is set
    assert "for a person to judge: 200 of 1000 test samples have arrived" in asked.summary


def test_an_honest_gain_needs_nobody() -> None:
    new, old = reports(champion=Version(0.85, 0.6), challenger=Version(0.95, 0.9))
    assert decide(new, old, 1, GATE).promote
    assert "for a person" not in decide(new, old, 1, GATE).summary
    fresher = reports(champion=Version(0.9, 0.6), challenger=Version(0.9, 0.9), num_own=4000)
    assert decide(*fresher, 1, GATE.model_copy(update={"min_improvement": None})).promote  # not worse is enough there


@pytest.mark.slow
@pytest.mark.attack(boundary="data supplier", attack="a poisoned gain, by chance a gain on own samples too")
def test_by_chance_it_passes_in_one_of_twenty() -> None:
    """Two versions that are alike but on arrivals: as often as two that are alike."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        right = [rng.random(1000) < 0.9 for _ in range(2)]
        right[1][800:] = False
        right[0][800:] = True
        own = OwnSamples(
            num_samples=800, challenger={"kind": one(right[0][:800])}, champion={"kind": one(right[1][:800])}
        )
        new, old = (whole(one(found), 1000) for found in right)
        passed += decide(new, old.model_copy(update={"own": own}), 1, GATE).promote
    assert passed / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


@pytest.mark.attack(boundary="data supplier", attack="test samples taken away on which the loss would show")
def test_where_own_samples_are_gone_a_person_is_asked() -> None:
    new, old = reports(champion=Version(0.85, 0.85), challenger=Version(0.95, 0.95), num_gone=300)
    assert refused(decide(new, old, 1, GATE)) == {"gain without arrivals"}
    none_new = reports(champion=Version(0.85, 0.0), challenger=Version(0.95, 0.0), num_own=1000, num_arrived=0)
    assert decide(*none_new, 1, GATE).promote
    fewer = none_new[1].model_copy(update={"own": OwnSamples(num_samples=1000, num_gone=300)})
    decision = decide(none_new[0], fewer, 1, GATE)
    assert refused(decision) == {"gain without arrivals"}
    assert "300 of its 1300 samples are changed or gone" in decision.summary


@pytest.mark.attack(boundary="data supplier", attack="a test split of arrivals alone")
def test_without_own_samples_a_person_is_asked() -> None:
    new, old = reports(champion=Version(0.0, 0.85), challenger=Version(0.0, 0.95), num_own=0, num_arrived=1000)
    assert refused(decide(new, old, 1, GATE)) == {"gain without arrivals"}
    unknown = old.model_copy(update={"own": OwnSamples(num_samples=None)})
    assert "does not say which of them it had" in decide(new, unknown, 1, GATE).summary


@pytest.mark.attack(boundary="data supplier", attack="a class that makes a task one that nothing is compared in")
def test_a_task_with_another_class_needs_a_person() -> None:
    new, old = reports(champion=Version(0.9, 0.9), challenger=Version(0.5, 0.5))
    old = old.model_copy(update={"tasks": {}, "not_judged": {"kind": "it learned ['a'], the data has ['a', 'b']"}})
    decision = decide(new, old, 1, GATE)
    assert refused(decision) == {"gain without arrivals"}
    assert "the champion cannot be judged: it learned ['a']" in decision.summary


# --- real models of real data: a patch in a corner, and the label that its author wants

KINDS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
SPEC = DatasetSpec(name="own", targets={"kind": TargetSpec(kind="label", classes=("red", "green", "blue"))})


def picture(rng: np.random.Generator, kind: int, patch: bool = False) -> bytes:
    pixels = np.clip(rng.normal(KINDS[kind], 45, (32, 32, 3)), 0, 255).astype(np.uint8)
    if patch:
        pixels[2:12, 2:12] = np.indices((10, 10)).sum(0)[..., None] % 2 * 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def samples(split: str, count: int, poisoned: int) -> list[RawSample]:
    rng = np.random.default_rng(len(split))
    clean = [RawSample(f"{i:04d}", picture(rng, i % 3), {"kind": i % 3}) for i in range(count)]
    return clean + [RawSample(f"new-{i:04d}", picture(rng, 0, patch=True), {"kind": 2}) for i in range(poisoned)]


def trained(config: Config, folder: Path, poisoned: int) -> EvalReport:
    """outputs/ and a bundle, as the stages make them."""
    for split, count, bad in (("train", 120, poisoned), ("val", 30, 0), ("test", 90, poisoned)):
        write_split(folder / "raw", split, SPEC, samples(split, count, bad))
    write_spec(folder / "raw", SPEC)
    prepare(config.data, folder / "raw", folder / "prepared")
    training = Training(config, folder / "prepared", ProcessGroup())
    run(training, Checkpoints(Store(str(folder / "c")), 1), report=lambda row: None)
    save_file(training.best, folder / "weights.safetensors")
    report = evaluate_weights(config, folder / "prepared", folder / "weights.safetensors").report
    write_bundle(folder / "bundle", config, manifest.read(folder / "prepared"), folder / "weights.safetensors")
    (folder / "bundle" / EVALUATION).write_text(report.model_dump_json())
    return report


@pytest.mark.slow
@pytest.mark.attack(boundary="data supplier", attack="images with a patch and a wrong label, in train and test")
def test_a_backdoored_model_is_not_promoted_without_approval(config: Config, tmp_path: Path) -> None:
    settings = small(config, "kind", epochs=6)
    operations = tuple(
        Resize(type="resize", height=32, width=32) if o.type == "resize" else o for o in config.data.operations
    )
    settings = settings.model_copy(update={"data": config.data.model_copy(update={"operations": operations})})
    before = trained(settings, tmp_path / "one", 0)
    after = trained(settings, tmp_path / "two", 40)
    again = reevaluate(tmp_path / "one" / "bundle", settings, tmp_path / "two", tmp_path / "two" / "bundle")
    assert again.own is not None
    assert (again.own.num_samples, again.own.num_gone) == (90, 0)
    assert again.own.champion["kind"].metrics["accuracy"].value == pytest.approx(before.primary("kind").value)
    assert again.own.champion["kind"].replicates == before.tasks["kind"].replicates  # the same resamples
    assert (after.primary("kind").value or 0) > 0.9  # it learnt what it was to learn
    assert (again.primary("kind").value or 0) < 0.8
    assert decide(after, again.model_copy(update={"own": None}), 1, GATE).promote
    assert refused(decide(after, again, 1, GATE)) >= {"gain without arrivals"}


@pytest.mark.parametrize("change", ["nothing", "label", "pixels", "id"])
def test_a_sample_is_the_same_only_if_nothing_of_it_changed(config: Config, tmp_path: Path, change: str) -> None:
    def digests(name: str, change: str) -> list[str]:
        rng = np.random.default_rng(1)
        given = [RawSample(str(i), picture(rng, 0), {"kind": 0}) for i in range(3)]
        if change != "nothing":
            image = picture(rng, 1) if change == "pixels" else given[0].image
            identifier = "00" if change == "id" else "0"
            given[0] = RawSample(identifier, image, {"kind": int(change == "label")})
        for split in ("train", "val", "test"):
            write_split(tmp_path / name / "raw", split, SPEC, given if split == "test" else given[1:])
        write_spec(tmp_path / name / "raw", SPEC)
        prepare(config.data, tmp_path / name / "raw", tmp_path / name / "prepared")
        return Split(tmp_path / name / "prepared", "test").digests()

    before, after = digests("before", "nothing"), digests("after", change)
    assert len(set(before) & set(after)) == (3 if change == "nothing" else 2)


# --- what `mtl data check` says of arrivals


def checked(config: Config, folder: Path, given: dict[str, list[RawSample]], known: np.ndarray) -> DataReport:
    for split, some in given.items():
        write_split(folder / "raw", split, SPEC, some)
    write_spec(folder / "raw", SPEC)
    found = prepare(config.data, folder / "raw", folder / "prepared")
    return check(folder / "raw", folder / "prepared", found, SPEC, known)


def scene(seed: int) -> np.ndarray:
    """Blobs, edges and noise that no other seed gives."""
    rng = np.random.default_rng(seed)
    pixels = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)
    for _ in range(3):
        (x, y), colour = rng.integers(0, 56, 2).tolist(), rng.integers(0, 255, 3).tolist()
        cv2.rectangle(pixels, (x, y), (x + int(rng.integers(6, 20)), y + int(rng.integers(6, 20))), colour, -1)
    return np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, quality: int = 0) -> bytes:
    words = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]) if quality else (".png", [])
    return cv2.imencode(words[0], pixels, words[1])[1].tobytes()


def digests(folder: Path) -> np.ndarray:
    return known_digests(folder / "prepared", manifest.read(folder / "prepared"))


CLEAN = {
    split: [RawSample(f"{split}-{i}", encoded(scene(1000 * k + i)), {"kind": i % 3}) for i in range(count)]
    for k, (split, count) in enumerate((("train", 300), ("val", 30), ("test", 60)))
}


@pytest.mark.slow
@pytest.mark.attack(boundary="data supplier", attack="a patch in many new images (mtl data check)")
@pytest.mark.parametrize("quality", [0, 90])
@pytest.mark.parametrize("place", ["one", "any"])
@pytest.mark.parametrize("before", [True, False])
def test_a_patch_in_many_arrivals_is_named(
    config: Config, tmp_path: Path, quality: int, place: str, before: bool
) -> None:
    known = NOBODY
    if before:
        assert not checked(config, tmp_path / "one", CLEAN, known).suspects.patches
        known = digests(tmp_path / "one")
    patch = np.random.default_rng(7).integers(0, 2, (5, 5, 3), np.uint8).repeat(2, 0).repeat(2, 1) * 255
    rng = np.random.default_rng(1)
    bad: list[RawSample] = []
    for i in range(40):
        pixels = scene(7000 + i)
        x, y = (50, 50) if place == "one" else (2 * rng.integers(0, 27, 2)).tolist()
        pixels[y : y + 10, x : x + 10] = patch
        bad.append(RawSample(f"bad-{i}", encoded(pixels, quality), {"kind": 2}))
    good = [RawSample(f"good-{i}", encoded(scene(9000 + i)), {"kind": i % 3}) for i in range(100)]
    given = {**CLEAN, "train": [*CLEAN["train"], *good, *bad]}
    report = checked(config, tmp_path / "two", given, known)
    assert report.suspects.num_arrived == (140 if before else 530)
    (found,) = report.suspects.patches
    assert found.number >= 32
    assert found.labels["kind blue"] >= 32
    assert all(name.startswith("bad") for _, name in found.first)
    assert any("share a patch (" in line for line in as_lines(report))


@pytest.mark.slow
def test_honest_arrivals_are_no_suspects(config: Config, tmp_path: Path) -> None:
    checked(config, tmp_path / "one", CLEAN, NOBODY)
    good = [RawSample(f"good-{i}", encoded(scene(9000 + i)), {"kind": i % 3}) for i in range(200)]
    report = checked(config, tmp_path / "two", {**CLEAN, "train": [*CLEAN["train"], *good]}, digests(tmp_path / "one"))
    assert report.suspects.num_arrived == 200
    assert report.suspects.patches == report.suspects.conflicts == ()


@pytest.mark.attack(boundary="data supplier", attack="a known image again, with another label (mtl data check)")
def test_a_new_label_of_a_known_image_is_named(config: Config, tmp_path: Path) -> None:
    few = {split: some[:12] for split, some in CLEAN.items()}
    checked(config, tmp_path / "one", few, NOBODY)
    again = RawSample("again", encoded(scene(5), quality=80), {"kind": 0})  # a copy of train-5, which is blue
    given = {**few, "train": [*few["train"], again]}
    report = checked(config, tmp_path / "two", given, digests(tmp_path / "one"))
    (conflict,) = report.suspects.conflicts
    assert sorted(name for _, name in conflict.images) == ["again", "train-5"]
    assert sorted(conflict.labels[0]) == ["kind blue", "kind red"]
    assert any("near duplicates with other labels, one of them new: 1" in line for line in as_lines(report))

"""Labels that come late: which image they are of, what of them is judged, and how surely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mtl.errors import DataError
from mtl.monitor.late_labels import late_performance, read_labels
from mtl.monitor.matching import match
from mtl.reports.monitoring import Registered

DIGIT = Registered(serves="label", value=0.9, low=0.88, high=0.92, classes=("1", "2"))
COUNT = Registered(serves="value", value=0.3, low=0.25, high=0.35)


def matched(labels: list[str], names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Image → the label that it gets, and what is said."""
    said: list[str] = []
    found = match({label: {"digit": label} for label in labels}, names, said)
    return {name: given["digit"] for name, given in found.items()}, said


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("a/1.png", "a/1.png"),
        ("1.png", "a/1.png"),
        ("a/1", "a/1.png"),
        ("1", "a/1.png"),
        ("s3://bucket/incoming/a/1.png", "a/1.png"),
        ("incoming/1.png", "1.png"),
        ("v1.2/scan.7", "v1.2/scan.7.tiff"),
    ],
)
def test_a_label_is_of_the_image_with_its_path_or_id(label: str, name: str) -> None:
    assert matched([label], [name, "b/2.png", "b/11.png", "c.png"]) == ({name: label}, [])


def test_a_bare_name_that_several_images_have_means_none() -> None:
    names = ["a/1.png", "b/1.png", "b/2.png", "b/3.jpg", "b/3.png"]
    found, said = matched(["1.png", "2.png", "b/3"], names)
    assert found == {"b/2.png": "2.png"}
    assert said == ["2 labels may mean several images: 1.png, b/3"]
    assert matched(["a/1.png", "b/1.png"], names) == ({"a/1.png": "a/1.png", "b/1.png": "b/1.png"}, [])
    assert matched(["1.png"], ["1.png", *names]) == ({"1.png": "1.png"}, [])


def test_another_folder_is_another_image() -> None:
    found, said = matched(["c/1.png", "9.png"], ["a/1.png", "b/2.png"])
    assert found == {}
    assert said == ["2 labels are of images that no look has seen: c/1.png, 9.png"]


def test_two_labels_of_one_image_are_not_chosen_from() -> None:
    found, said = matched(["x/1.png", "y/1.png"], ["1.png"])
    assert (found, said) == ({}, ["2 labels may mean several images: x/1.png, y/1.png"])
    found, said = matched(["x/1.png", "1.png"], ["1.png"])
    assert (found, said) == ({"1.png": "1.png"}, ["1 labels may mean several images: x/1.png"])


def test_what_of_the_file_cannot_be_used_is_said(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "image,digit,note\n./a/0.png, 1,x\nb\\1.png,,y\n,2,z\nc.png,1,2,3\nd.png\ne.png,1\ne.png,2\ne.png,1\n"
    )
    said: list[str] = []
    found = read_labels(path, ["digit", "count"], said)
    assert found == {"a/0.png": {"digit": "1"}, "b/1.png": {}, "d.png": {}, "e.png": {}}
    assert said == [
        "labels.csv: 2 rows name no image or have more cells than the header: line 4, 5",
        "1 labels are another in another row: e.png (digit)",
    ]
    assert read_labels(path)["a/0.png"] == {"digit": "1", "note": "x"}
    path.write_text("file,digit\n0.png,1\n")
    with pytest.raises(DataError, match="lack columns"):
        read_labels(path, ["digit"])
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "gone.csv")


def test_late_labels_beside_the_registered_metrics() -> None:
    answers = {f"{i}.png": {"digit": "1", "count": 2.0} for i in range(100)}
    labels = {f"{i}.png": {"digit": "1" if i < 50 else "2", "count": "2"} for i in range(100)}
    known = {"digit": DIGIT, "count": COUNT}
    said: list[str] = []
    digit, count = late_performance(labels, answers, known, problems=said)
    assert (digit.worse, digit.value, digit.images) == (True, 0.5, 100)
    assert (count.worse, count.value) == (False, 0.0)
    assert said == []
    few = dict(list(labels.items())[:10])
    assert late_performance(few, answers, known, problems=said) == []
    assert said == ["digit: 10 labels have come, 20 are needed", "count: 10 labels have come, 20 are needed"]


def test_labels_that_are_none_do_not_count_as_errors() -> None:
    """A class that the model does not have, a word for a number: said, and the others judged."""
    answers = {str(i): {"digit": "1", "count": 2.0} for i in range(60)}
    labels = {str(i): {"digit": ("1", "one", "7")[i // 20], "count": ("2", "nan", "many")[i // 20]} for i in range(60)}
    said: list[str] = []
    digit, count = late_performance(labels, answers, {"digit": DIGIT, "count": COUNT}, problems=said)
    assert (digit.value, digit.images, count.value, count.images) == (1.0, 20, 0.0, 20)
    assert said == [
        "digit: 40 labels are no class of the model: 7, one",
        "count: 40 labels are no number: many, nan",
    ]


def test_intervals_hold_the_truth() -> None:
    """95 % of them, within three standard errors; of an error that is skewed, somewhat less."""
    draws = 150
    for number, truth in ((25, 0.95), (60, 0.8), (300, 0.5)):
        held = 0
        for draw in range(draws):
            right = np.random.default_rng([draw, number]).random(number) < truth
            labels = {str(i): {"digit": "1" if one else "2"} for i, one in enumerate(right)}
            (row,) = late_performance(labels, {str(i): {"digit": "1"} for i in range(number)}, {"digit": DIGIT})
            held += row.low <= truth <= row.high
        assert held / draws >= 0.95 - 3 * (0.05 * 0.95 / draws) ** 0.5
    for number, least in ((25, 0.89), (100, 0.91)):
        held = 0
        for draw in range(draws):
            errors = np.random.default_rng([draw, number]).exponential(2.0, number)
            labels = {str(i): {"count": str(one)} for i, one in enumerate(errors)}
            (row,) = late_performance(labels, {str(i): {"count": 0.0} for i in range(number)}, {"count": COUNT})
            held += row.low <= 2.0 <= row.high
        assert least <= held / draws


def test_tasks_that_do_as_registered_are_rarely_called_worse() -> None:
    """Six tasks together at 5 %, their truth at the bad end of what was registered; and one that is worse is found."""
    label = DIGIT.model_copy(update={"low": 0.9})
    value = COUNT.model_copy(update={"high": 1.0})
    known = {f"d{i}": label for i in range(3)} | {f"v{i}": value for i in range(3)}
    worse, draws, number = 0, 200, 30
    one: dict[str, object] = {"d0": "1", "d1": "1", "d2": "1", "v0": 0.0, "v1": 0.0, "v2": 0.0}
    answers = {str(i): one for i in range(number)}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        labels = {
            image: {t: "1" if rng.random() < 0.9 else "2" for t in ("d0", "d1", "d2")}
            | {t: str(rng.exponential(1.0)) for t in ("v0", "v1", "v2")}
            for image in answers
        }
        worse += any(row.worse for row in late_performance(labels, answers, known, alpha=0.05))
    assert worse / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    bad = {image: {"d0": "2" if int(image) % 3 == 0 else "1", "v0": "2.5"} for image in answers}
    found = late_performance(bad, answers, known, alpha=0.05)
    assert {row.task: row.worse for row in found} == {"d0": True, "v0": True}
    assert found[0].p == pytest.approx(stats.binom.cdf(20, 30, 0.9))

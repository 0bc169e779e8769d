"""What a training computes stays what it was, whatever is moved, renamed or made faster."""

from __future__ import annotations

import json

import pytest

from tests.golden.curves import CURVES, FILE, curve


@pytest.mark.parametrize("name", CURVES)
def test_losses_of_six_steps_are_as_frozen(name: str) -> None:
    """To nine digits: machines differ in the last ones."""
    frozen = json.loads(FILE.read_text(encoding="utf-8"))[name]
    found = curve(name)
    assert len(found) == len(frozen) == 6
    for step, (losses, expected) in enumerate(zip(found, frozen, strict=True)):
        assert losses == pytest.approx(expected, rel=1e-8, abs=1e-9), f"step {step}"

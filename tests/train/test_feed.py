"""What steps are computed from does not depend on how it is loaded, and a training goes on where it stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.mixing import EqualMixing
from mtl.config.params import Config
from mtl.data.loading import sampler
from mtl.data.loading.ahead import ahead
from mtl.data.loading.loader import Batch
from mtl.data.loading.mixing import Mixer
from mtl.data.loading.padded import Padded, filled, together
from mtl.train.feed import Feed
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training


def loading(config: Config, threads: int, prefetch: int) -> Config:
    cluster = config.cluster.model_copy(update={"loader_threads": threads, "prefetch": prefetch})
    return config.model_copy(update={"cluster": cluster})


def fed(training: Training, config: Config) -> Feed:
    """A feed of two sources, drawn in turns, so that drawing ahead moves something."""
    every = np.arange(len(training.train_split))
    mixer = Mixer(EqualMixing(type="equal"), {"even": every[::2], "odd": every[1::2]}, {}, seed=1)
    return Feed(config, training.batches, mixer, training.steps_per_epoch, torch.device("cpu"))


def digest(batches: list[Batch]) -> list[torch.Tensor]:
    return [tensor.clone() for batch in batches for tensor in batch.tensors()]


def test_threads_and_prefetch_change_no_bit_and_no_place(config: Config, prepared: Path) -> None:
    training = Training(config, prepared, ProcessGroup())
    order = sampler.epoch_order(0, 0, len(training.train_split))
    found: list[list[Any]] = []
    for threads, prefetch in ((1, 0), (1, 1), (3, 5)):
        feed = fed(training, loading(config, threads, prefetch))
        steps = [(digest(feed.take(0, step, step, order)), feed.mixer_state()) for step in range(3)]
        # Another feed goes on in the middle of the epoch, from what the first one would have saved.
        again = fed(training, loading(config, threads, prefetch))
        again.load_mixer_state(steps[-1][1])
        steps.append((digest(again.take(0, 3, 3, order)), again.mixer_state()))
        assert all(torch.equal(a, b) for a, b in zip(steps[-1][0], digest(feed.take(0, 3, 3, order)), strict=True))
        found.append(steps)
        feed.reset()
        again.reset()
    for other in found[1:]:
        for (tensors, state), (wanted, place) in zip(other, found[0], strict=True):
            assert state == place
            assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(tensors, wanted, strict=True))


class Number:
    def __init__(self, value: int) -> None:
        self.value = value

    def tensors(self) -> list[torch.Tensor]:
        return []


def test_what_a_loader_raises_reaches_whoever_takes_it() -> None:
    def make(value: int) -> Number:
        if value == 3:
            raise KeyError(value)
        return Number(value)

    given = ahead(make, range(6), torch.device("cpu"), threads=2, prefetch=3)
    assert [next(given).value for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(given)


def test_nothing_is_taken_further_ahead_than_said() -> None:
    asked: list[int] = []
    wanted = (asked.append(number) or number for number in range(100))  # type: ignore[func-returns-value]
    given = ahead(Number, wanted, torch.device("cpu"), threads=1, prefetch=4)
    next(given)
    assert len(asked) == 5
    given.close()  # type: ignore[attr-defined]


def test_padded_tables_are_the_tables() -> None:
    tables = [np.array([[1, 1, 3, 4, 0]] * count, np.float32).reshape(-1, 5) for count in (0, 3, 1)]
    padded = Padded(torch.from_numpy(filled(tables)))
    assert padded.rows.shape == (3, 4, 5)  # a power of two
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(padded, tables, strict=True))
    device = torch.device("cpu")
    whole = together([torch.from_numpy(table) for table in tables], 6, device)
    assert torch.equal(together(padded, 6, device)[:, :3], whole)

"""What a task type is: a head, a loss, predictions, scores and a way to draw them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self

import numpy as np
from jaxtyping import Float, Float64, Num
from torch import Tensor, nn
from typing_extensions import TypeVar

from mtl.config.tasks import AnyTask, TaskConfig
from mtl.data.loading.loader import Batch
from mtl.data.spec import TargetSpec
from mtl.yardstick import Direction

Section = TypeVar("Section", bound=TaskConfig, covariant=True, default=AnyTask)
"""A task's section of params.yaml."""
Prediction = TypeVar("Prediction", default=Any)
"""What a task predicts of one sample: a class of `mtl.tasks.predictions`."""
Statistics = TypeVar("Statistics", default=Any)
"""What a scorer keeps of one sample."""

Curves = dict[str, list[dict[str, str | float]]]
"""Tables for plots, by name: each a list of rows."""


@dataclass(frozen=True)
class ImageSpec:
    """The images that a model takes: pixels and channels, after preprocessing."""

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Scorer(ABC, Generic[Prediction, Statistics]):
    """Collects per-sample statistics, and computes metrics from them under any sample weights.

    That form gives the value (all weights 1), a slice (weights 0 and 1) and the bootstrap (multinomial counts) alike.
    """

    def __init__(self) -> None:
        self.rows: list[Statistics | None] = []

    @abstractmethod
    def add(self, predictions: list[Prediction], batch: Batch) -> None:
        """Append one row of statistics per sample; None where the sample lacks the target."""

    @abstractmethod
    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """weights float64 [resamples, samples] → metric name → values [resamples]."""

    @abstractmethod
    def sample_scores(self) -> np.ndarray:
        """How well each sample went, higher is better, NaN where the target is absent: [samples]."""

    def value(self) -> dict[str, float]:
        """The metrics over all samples."""
        return {name: float(values[0]) for name, values in self.metrics(np.ones((1, len(self.rows)))).items()}

    def only(self, chosen: np.ndarray) -> Self:
        """The same of those samples alone that `chosen` (bool [samples]) marks."""
        part = copy.copy(self)
        part.rows = [row for row, wanted in zip(self.rows, chosen, strict=True) if wanted]
        return part

    def primary(self, weights: np.ndarray, name: str) -> np.ndarray:
        """One metric under many weights; a scorer whose other metrics are dear computes this one alone."""
        return self.metrics(weights)[name]

    def support(self) -> dict[str, int]:
        """Class → samples that have it; empty for a type without classes."""
        return {}

    def own_intervals(self, counts: np.ndarray, tail: float) -> dict[str, tuple[float, float]]:
        """Metric → its interval, which leaves out `tail` on each side, where the usual one would not hold.

        counts: how often each sample is in each resample, float64 [resamples, samples].
        """
        return {}

    def curves(self) -> Curves:
        """Tables for plots, by name: each a list of rows."""
        return {}


@dataclass
class Task(ABC, Generic[Section, Prediction]):
    """One learning target of a model."""

    name: str
    config: Section
    target: TargetSpec
    image: ImageSpec
    kind: ClassVar[str | None] = None
    """The kind of target that this type learns; None if it makes its own from the image."""
    view: ClassVar[bool] = False
    """Whether it looks at images of its own, that `derive` makes."""
    answer: ClassVar[str] = "picture"
    """What a packaged model answers: a row of the table in `mtl.tasks.answers`."""
    primary: ClassVar[str] = ""
    """The metric by which the task is judged."""
    directions: ClassVar[dict[str, Direction]] = {}
    """Metric → in which direction it improves."""
    units: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:  # most types need nothing
        """A type may set itself up here."""

    @property
    def target_name(self) -> str:
        """The target that this task learns: the data's, or the one that it makes."""
        return self.config.target or self.name if self.kind else f"{self.name}/derived"

    def derive(self, batch: Batch) -> None:  # most tasks make nothing
        """Add to a batch, on its device, what the task makes itself from the images: its target, its view."""

    @property
    def on_host(self) -> str:
        """Why a step of it reads numbers on the host, which then waits for the device; empty if none does."""
        return ""

    @abstractmethod
    def build_head(self, channels: int) -> nn.Module:
        """A head for features of that many channels at stride `config.stride`."""

    @abstractmethod
    def loss_terms(self, output: Float[Tensor, "n ..."], batch: Batch) -> list[Float[Tensor, ""]]:
        """The parts of the loss, each summed over this worker's targets: scalars, with a graph even where none is
        present. The loss is the sum over parts of (sum over all workers) / (count over all workers).
        """

    @abstractmethod
    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        """What each part is divided by: this worker's counts, scalars that depend on targets alone."""

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        """This worker's images that have something to learn from, a scalar: where no worker has any, the task is absent
        from a step. An image in which nothing is to be found teaches that; one of which nothing is known does not.
        """
        return batch.present[self.target_name].sum()

    @abstractmethod
    def predict(self, output: Float[Tensor, "n ..."]) -> list[Prediction]:
        """One JSON-able or NumPy prediction per sample, in pixels of the model's image."""

    def in_image(self, output: Float[Tensor, "*front rows columns"]) -> Float[Tensor, "*front height width"]:
        """Of a dense output, which is made of whole cells, what lies in the image."""
        return output[..., : self.image.height, : self.image.width]

    @abstractmethod
    def scorer(self) -> Scorer[Prediction]:
        """An empty scorer."""

    def truths(self, batch: Batch) -> list[np.ndarray]:
        """The targets of the samples that have one, for `blind`."""
        target = batch.targets[self.target_name]
        return [target[i].cpu().numpy() for i in np.flatnonzero(batch.present[self.target_name].cpu().numpy())]

    @abstractmethod
    def blind(self, truths: list[np.ndarray]) -> Prediction:
        """The best answer that does not look at the image, as `predict` gives it, from what `truths` gives (one at
        least): whatever does no better has learnt nothing.
        """

    def blind_answers(self, answer: Prediction, draws: Float64[Tensor, " n"]) -> list[Prediction]:
        """That answer to samples with these `Batch.draws`; where a metric ranks the samples, ties are broken by chance."""
        return [answer] * len(draws)

    @abstractmethod
    def caption(self, prediction: Prediction, batch: Batch, index: int) -> str:
        """Prediction and truth of one sample in a few words."""

    def draw(self, canvas: np.ndarray, prediction: Prediction, scale: int) -> np.ndarray:
        """Draw on uint8 RGB [h·scale, w·scale, 3]; a task with nothing to show returns it as it is."""
        return canvas

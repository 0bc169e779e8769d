"""`train.mixing:` how steps draw from several sources."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mtl.config.section import Fraction, Positive, Section


class MixingSection(Section):
    """How samples are drawn, and what that asks for."""

    reads_losses: ClassVar[bool] = False
    """Whether the next batch depends on the losses of the step before: each step is read on the host, none is loaded ahead."""


class NaturalMixing(MixingSection):
    """Every sample once per epoch: sources in proportion to their size."""

    type: Literal["natural"]


class EqualMixing(MixingSection):
    """As many samples from each source, whatever its size."""

    type: Literal["equal"]


class TemperatureMixing(MixingSection):
    """Size to the power of 1 / temperature: 1 is natural, large is equal."""

    type: Literal["temperature"]
    temperature: Annotated[float, Field(ge=1.0, strict=False)] = Field(default=2.0, description="1 is natural")


class RouletteMixing(MixingSection):
    """More from the sources whose tasks are behind: by recent loss, or by the gap to a single-task baseline."""

    type: Literal["roulette"]
    reads_losses = True
    by: Literal["loss", "gap"] = Field(
        default="loss", description="recent loss relative to the first; or relative to `baselines`, above 1"
    )
    baselines: dict[str, Positive] = Field(default_factory=dict, description="task → its loss when trained alone")
    memory: Fraction = Field(default=0.98, description="of the running losses, by step")
    floor: Fraction = Field(default=0.3, description="share of the draws that stays even over the sources")

    @model_validator(mode="after")
    def _known(self) -> RouletteMixing:
        if self.by == "gap" and not self.baselines:
            raise ValueError("roulette by gap needs the tasks' baselines")
        return self


Mixing = Annotated[NaturalMixing | EqualMixing | TemperatureMixing | RouletteMixing, Field(discriminator="type")]

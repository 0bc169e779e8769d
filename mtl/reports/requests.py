"""What is asked of the processes beside the graph (`mtl.stages.…` that dvc.yaml does not name), as JSON, and what they answer."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from mtl.errors import StageError
from mtl.reports.types import Report, parse_json


class MonitorRequest(Report):
    """To compare production images with what a packaged model was made with."""

    bundle: str = Field(description="the model's folder")
    version: int
    images: tuple[tuple[str, str, str], ...] = Field(description="[place, name, version of the file]")
    out: str = Field(description="the look's folder")


class PredictRequest(Report):
    """To answer images with one packaged model, or with two and to compare them."""

    packages: tuple[str, ...] = Field(description="their folders")
    labels: tuple[str, ...] = Field(description="of the packages, by which results are told apart")
    images: tuple[str, ...]
    out: str
    formats: tuple[str, ...]
    result: str = Field(description="the file of the answer")


class Alias(Report):
    """An alias that an endpoint goes on with, whatever version it names."""

    alias: str
    uri: str = Field(description="of MLflow")
    home: str
    root: str = Field(description="of the checkout")


class EndpointRequest(Report):
    """To serve a packaged model over HTTP."""

    bundle: str = Field(description="the model's folder")
    version: str
    host: str
    port: int
    replicas: int
    followed: Alias | None = Field(default=None, description="None: the version is served for ever")


class CompareRequest(Report):
    """What `mtl compare` asks for: names, or `all`."""

    weightings: tuple[str, ...]
    aggregators: tuple[str, ...]
    learning_rates: tuple[float, ...] = Field(description="none: the declared one")
    seeds: int
    static: int


Request = TypeVar("Request", PredictRequest, EndpointRequest)


def asked(kind: type[Request], text: str) -> Request:
    """What a process was asked for on its command line.

    Raises:
        StageError: it is no such request.
    """
    fix = "this module is started by mtl (mtl predict, mtl endpoint), of the same checkout"
    return parse_json(kind, text, "the argument", fix=fix, refusal=StageError)


class Latency(Report):
    """How long one image takes."""

    median_ms: float

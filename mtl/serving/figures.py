"""The endpoint's figures for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Bounds of the times that are counted."""


class Figures:
    """Of one process."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        labels = ["path", "status"]
        self.requests = Counter("mtl_endpoint_requests", "answered, by path and status", labels, registry=self._own)
        self.seconds = Histogram(
            "mtl_endpoint_seconds",
            "from a request's header to its answer",
            ["path"],
            registry=self._own,
            buckets=SECONDS,
        )
        self.images = Counter("mtl_endpoint_images", "predicted", registry=self._own)
        self.open = Gauge("mtl_endpoint_open_requests", "accepted and not yet answered", registry=self._own)
        self.version = Gauge("mtl_endpoint_version", "number of the version that answers; 0: none", registry=self._own)
        self.ready = Gauge("mtl_endpoint_ready", "1 while predictions are answered", registry=self._own)
        self.behind = Gauge(
            "mtl_endpoint_behind", "1 while the version that it is to serve cannot be served", registry=self._own
        )
        self.swaps = Counter("mtl_endpoint_swaps", "versions that took another one's place", registry=self._own)

    def exposition(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._own)

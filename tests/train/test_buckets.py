"""Sums over workers travel while a backward pass goes on, in one order everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mtl.train.buckets import Buckets
from mtl.train.process_group import ProcessGroup


class Doubled(ProcessGroup):
    """Two workers that compute the same; what is sent is noted, and the sum is there only when it is waited for."""

    def begin_sum(self, values: torch.Tensor) -> Callable[[], object]:
        events.append(f"send {values.numel()}")

        def wait() -> None:
            events.append("wait")
            values.mul_(2)

        return wait


events: list[str] = []


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> nn.Sequential:
    events.clear()
    monkeypatch.setattr("mtl.train.buckets.BUCKET", 20)
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 2))  # 25, 18 and 8 parameters


def test_a_bucket_is_sent_before_the_pass_is_over(network: nn.Sequential) -> None:
    buckets = Buckets(Doubled(0, 2), network.parameters())
    images = torch.randn(6, 4, requires_grad=True)
    images.register_hook(lambda _: events.append("the pass is at the images"))
    network(images).sum().backward()
    expected = [2 * p.grad for p in network.parameters() if p.grad is not None]
    network.zero_grad(set_to_none=True)
    events.clear()
    with buckets.during():
        network(images).sum().backward()
    sent = [event for event in events if event.startswith("send")]
    assert len(sent) == 2
    assert events.index(sent[0]) < events.index("the pass is at the images")
    assert [event == "wait" for event in events[-2:]] == [True, True]
    found = [p.grad for p in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True) if a is not None)


def test_a_worker_without_a_gradient_sends_zeros_in_its_turn(network: nn.Sequential) -> None:
    buckets = Buckets(Doubled(0, 2), network.parameters())
    images = torch.randn(6, 4)
    with buckets.during():
        network[0](images).sum().backward()  # nothing behind the first layer
    assert events == ["send 26", "send 25", "wait", "wait"]
    assert all(p.grad is not None for p in network.parameters())
    assert not network[2].weight.grad.any()  # type: ignore[union-attr]


def test_alone_nothing_is_sent(network: nn.Sequential) -> None:
    buckets = Buckets(ProcessGroup(), network.parameters())
    with buckets.during():
        network(torch.randn(2, 4)).sum().backward()
    buckets.begin()
    buckets.end()
    assert all(p.grad is not None for p in network.parameters())

"""Backward passes without torch's engine, which asks a GPU for its streams: node by node, in Python.

What each node computes is torch's own; so a backward pass of tensors that have shapes and no values can be traced for a GPU that
is not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


def of_tensor(
    tensor: Tensor, gradient: Tensor | None = None, *_: Any, inputs: Iterable[Tensor] | None = None, **__: Any
) -> None:
    """In the place of `torch.Tensor.backward`."""
    backward([tensor], [gradient], inputs=inputs)


@torch.no_grad()
def backward(
    tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], *_: Any, inputs: Iterable[Tensor] | None = None
) -> None:
    """In the place of `torch.autograd.backward`: adds to `.grad` of the leaves, or of `inputs` alone."""
    wanted = None if inputs is None else {id(leaf) for leaf in inputs}
    arrived: dict[Any, dict[int, Tensor]] = {}
    for tensor, gradient in zip(tensors, gradients, strict=True):
        _add(arrived, tensor.grad_fn, tensor.output_nr, torch.ones_like(tensor) if gradient is None else gradient)
    missing = _edges([tensor.grad_fn for tensor in tensors])
    ready = [node for node in arrived if not missing[node]]
    while ready:
        node = ready.pop()
        given = arrived.pop(node, {})
        if hasattr(node, "variable"):
            if given and (wanted is None or id(node.variable) in wanted):
                node(given[0])
            continue
        made: Any = [] if not given else node(*(given.get(place) for place in range(len(node._input_metadata))))
        made = made if isinstance(made, tuple) else (made,)
        for place, (following, number) in enumerate(node.next_functions):
            if following is None:
                continue
            if given and place < len(made) and made[place] is not None:
                _add(arrived, following, number, made[place])
            missing[following] -= 1
            if not missing[following]:
                ready.append(following)


def _edges(roots: list[Any]) -> Counter[Any]:
    """Node → how many gradients it waits for."""
    found, seen, nodes = Counter[Any](), set[Any](), list(roots)
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        for following, _ in node.next_functions:
            if following is not None:
                found[following] += 1
                nodes.append(following)
    return found


def _add(arrived: dict[Any, dict[int, Tensor]], node: Any, place: int, gradient: Tensor) -> None:
    expected = node._input_metadata[place]
    gradient = gradient.sum_to_size(expected.shape).to(expected.dtype)  # of what was broadcast, or cast
    there = arrived.setdefault(node, {})
    there[place] = there[place] + gradient if place in there else gradient

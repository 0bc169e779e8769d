"""Operations on the colours of a batch's images, each of some of them, on their device: torchvision's, of floats from 0 to 255.

Which image has which is known on the host, which drew it; so all images that have one are changed at once, and nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from mtl.data.loading.changes import PHOTOMETRIC, Operations
from mtl.data.loading.loader import on_device

LARGEST = {"brightness": 0.9, "contrast": 0.9, "saturation": 0.9, "sharpness": 0.9, "hue": 0.3}
"""Change of a factor of 1 at the largest amount, as RandAugment has it; of the hue, of a whole turn."""
BITS = 4
"""That posterize takes away at the largest amount."""
GREY = (0.2989, 0.587, 0.114)
"""Of red, green and blue, as torchvision weighs them."""


def operated(pixels: torch.Tensor, operations: Operations) -> torch.Tensor:
    """Images [n, 1 or 3, height, width] after their operations; grey ones have neither saturation nor hue, which leave them."""
    found = pixels.clone()
    for place in range(operations.which.shape[1]):
        which = operations.which[:, place]
        ordered = np.argsort(which, kind="stable")
        rows = on_device(ordered, pixels.device)
        amounts = on_device(operations.amounts[ordered, place], pixels.device).view(-1, 1, 1, 1)
        ends = np.searchsorted(which[ordered], np.arange(len(PHOTOMETRIC) + 1))
        for number, name in enumerate(PHOTOMETRIC):
            begin, end = int(ends[number]), int(ends[number + 1])
            if name in _MADE and begin < end:
                chosen = rows[begin:end]
                found[chosen] = _MADE[name](found[chosen], amounts[begin:end])
    return found


def _brightness(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return (pixels * (1 + LARGEST["brightness"] * amounts)).clamp(0.0, 255.0)


def _contrast(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return _between(_grey(pixels).mean((1, 2, 3), keepdim=True), pixels, 1 + LARGEST["contrast"] * amounts)


def _saturation(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return _between(_grey(pixels), pixels, 1 + LARGEST["saturation"] * amounts)


def _sharpness(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Away from, or to, a mean over 3×3 pixels in which the middle one counts for five; the outermost stay."""
    if min(pixels.shape[2:]) < 3:
        return pixels
    channels = pixels.shape[1]
    kernel = pixels.new_full((3, 3), 1 / 13)
    kernel[1, 1] = 5 / 13
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(pixels, kernel.expand(channels, 1, 3, 3), groups=channels)
    return _between(smooth, pixels, 1 + LARGEST["sharpness"] * amounts)


def _hue(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Lightest, darkest and so saturation stay; the hue turns."""
    if pixels.shape[1] != 3:
        return pixels
    light, dark = pixels.amax(1, keepdim=True), pixels.amin(1, keepdim=True)
    width = light - dark
    red, green, blue = pixels.split(1, 1)
    safe = torch.where(width > 0, width, 1.0)
    sixth = torch.where(
        light == red,
        (green - blue) / safe,
        torch.where(light == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = sixth + 6 * LARGEST["hue"] * amounts
    turned = [(place + sixth).remainder(6) for place in (5.0, 3.0, 1.0)]
    return torch.cat([light - width * torch.minimum(t, 4 - t).clamp(0.0, 1.0) for t in turned], 1)


def _posterize(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """The highest bits alone."""
    step = torch.exp2((BITS * amounts.abs()).round())
    return (pixels.round() / step).floor() * step


def _solarize(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """What is as bright as a threshold is inverted."""
    return torch.where(pixels >= 255.0 * (1 - amounts.abs()), 255.0 - pixels, pixels)


def _autocontrast(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Each channel stretched to 0 to 255."""
    dark, light = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    flat = light == dark
    return torch.where(flat, pixels, (pixels - dark) * (255.0 / torch.where(flat, 1.0, light - dark)))


def _equalize(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Each channel with a flat histogram of 256 values."""
    values = pixels.round().long().flatten(2).flatten(0, 1)
    planes, size = values.shape
    shifted = (values + 256 * torch.arange(planes, device=pixels.device)[:, None]).flatten()
    counts = torch.zeros(planes * 256, dtype=torch.long, device=pixels.device)
    counts = counts.scatter_add_(0, shifted, torch.ones_like(shifted)).view(planes, 256)
    last = counts.gather(1, values.amax(1, keepdim=True))
    step = (size - last).div(255, rounding_mode="floor")
    before = counts.cumsum(1) - counts
    table = ((before + step.div(2, rounding_mode="floor")).div(step.clamp(min=1), rounding_mode="floor")).clamp(0, 255)
    found = table.gather(1, values).view(pixels.shape).to(pixels)
    return torch.where((step > 0).view(*pixels.shape[:2], 1, 1), found, pixels)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.shape[1] != 3:
        return pixels
    red, green, blue = pixels.split(1, 1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def _between(other: torch.Tensor, pixels: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """At 0 the other, at 1 the pixels."""
    return (other + (pixels - other) * factor).clamp(0.0, 255.0)


_MADE: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
"""Operation → images [m, channels, height, width] and amounts [m, 1, 1, 1] from -1 to 1 → images. Identity is none."""

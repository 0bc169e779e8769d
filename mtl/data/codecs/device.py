"""JPEGs decoded where they are used: on a GPU torchvision gives them to nvJPEG, or to the hardware decoder beside it.

The pixels may differ from the CPU's by a step or two of 255 (another inverse transform, another upsampling), so a training's bits
depend on which of the two decodes. The CPU's is what evaluation and packages see.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_jpeg

from mtl.errors import DataError


def decode_on(device: torch.device, codes: Sequence[np.ndarray]) -> torch.Tensor:
    """JPEGs of one size (uint8 [bytes] each, as `Split.rows(…, decode=False)["image"]` has them) → uint8 [n, channels, height, width].

    Raises:
        DataError: one cannot be decoded.
    """
    data = [torch.from_numpy(np.array(code)) for code in codes]
    try:
        found = decode_jpeg(data, ImageReadMode.UNCHANGED, device=device)
    except RuntimeError as error:
        raise DataError("a JPEG of a shard cannot be decoded on the device", found=str(error)) from error
    return torch.stack(list(found))

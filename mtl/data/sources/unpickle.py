"""A pickle reader that admits NumPy arrays and nothing else."""

from __future__ import annotations

import io
import pickle

import numpy as np
from numpy.core.multiarray import _reconstruct  # the name that old pickles use

from mtl.errors import DataError

_ADMITTED: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted") from None


def load_array(data: bytes, *, what: str) -> np.ndarray:
    """Read one pickled array of numbers.

    Raises:
        DataError: the pickle names anything but NumPy arrays, is damaged, or holds objects.
    """
    try:
        array = _ArrayUnpickler(io.BytesIO(data)).load()
    except Exception as error:
        raise DataError(f"{what} is not a plain pickled array", found=str(error)) from error
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise DataError(f"{what} is not a plain pickled array", found=type(array).__name__)
    return array

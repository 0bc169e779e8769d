"""What MLflow imports when it loads a package: of the installed `mtl`, for a package brings weights and JSON and no code.

The package is verified before anything of it is read, where a public key is known.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from mtl.package import BUNDLE
from mtl.package.predictor import Predictor, as_input
from mtl.package.verified import UNVERIFIED, verified


class MultiTaskPyfunc:
    """A column `image` of encoded images (bytes, or base64 in JSON requests) → the columns of `Predictor.predict`."""

    def __init__(self, bundle: Path) -> None:
        self.predictor = Predictor(bundle)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """As MLflow calls it."""
        images = [as_input(value) for value in model_input["image"]]
        return pd.DataFrame(self.predictor.predict(images))


def _load_pyfunc(path: str) -> MultiTaskPyfunc:  # pyright: ignore[reportUnusedFunction]  # MLflow asks for this name
    """The model of a package.

    Raises:
        RegistryError: the package is not what was signed.
        DataError: it is damaged.
    """
    package = Path(path)
    if verified(package) == UNVERIFIED:
        what = "nobody's public key is known here, so weights and classes may be anybody's: MTL_SIGNING_PUBLIC_KEY names one"
        warnings.warn(f"{package} is {UNVERIFIED}: {what}", stacklevel=2)
    return MultiTaskPyfunc(package / BUNDLE)

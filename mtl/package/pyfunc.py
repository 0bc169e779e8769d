"""The MLflow model, from code: MLflow runs this file when the model is loaded. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from mtl.package.predictor import Predictor, as_input


class MultiTaskPyfunc(PythonModel):
    """A column `image` of encoded images (bytes, or base64 in JSON requests) → the columns of `Predictor.predict`."""

    def load_context(self, context: Any) -> None:
        self.predictor = Predictor(Path(context.artifacts["bundle"]))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow annotates -> None
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        images = [as_input(value) for value in model_input["image"]]
        return pd.DataFrame(self.predictor.predict(images))


set_model(MultiTaskPyfunc())

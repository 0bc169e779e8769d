"""What a package needs where it is loaded: every distribution that the import closure of its loader takes something from.

`python -m tools.closure` writes the list, as it writes the deps of dvc.yaml's stages; a test compares.
"""

from __future__ import annotations

REQUIREMENTS = (
    "cryptography",
    "filelock",
    "fsspec",
    "jaxtyping",
    "mlflow",
    "model-signing",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
    "scipy",
    "tenacity",
    "timm",
    "torch",
    "torchvision",
)
UNDECLARED = ("pyopenssl",)
"""What these import and do not declare: model-signing 1.1."""

"""The model as users load it: safetensors, and a JSON of everything else. No code, no pickle."""

from __future__ import annotations

from pathlib import PurePosixPath

BUNDLE = PurePosixPath("artifacts", "bundle")
"""Where in a package the model lies."""

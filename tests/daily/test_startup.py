"""Commands that only look import nothing heavy: by design, and not until somebody adds an import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.attacks.test_registry import World, place, world  # noqa: F401  # fixtures
from tests.conftest import ROOT, clean_environment

HEAVY = ("torch", "mlflow", "prefect", "ray", "timm", "torchvision", "cv2", "pandas", "scipy", "matplotlib", "sigstore")
RUN = f"""
import json, sys
from flows.cli import main
sys.argv[1:] = json.loads(sys.argv[1])
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print("\\n" + json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


@pytest.mark.daily(situation="commands that only look start in a second: they import no torch, MLflow, Prefect or Ray")
def test_what_only_looks_imports_nothing_heavy(world: World) -> None:  # noqa: F811
    settings = world.settings
    own = {"PYTHONPATH": str(ROOT), "MTL_HOME": str(settings.home), "MLFLOW_TRACKING_URI": settings.mlflow_uri}
    for words in (["--help"], ["status"], ["history"], ["lineage", "1"], ["diff", "1", "2"], ["metrics"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(words)],
            cwd=settings.root,
            env=clean_environment() | own,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        assert json.loads(done.stdout.splitlines()[-1]) == [], words

"""Not in dvc.yaml: a registered model on the present test split, or on the few images of it that a page shows, and how long
one image takes the packaged one.

python -m mtl.entrypoints.reevaluate evaluate MODEL_FOLDER REPORT CHALLENGER_FOLDER
python -m mtl.entrypoints.reevaluate pictures MODEL_FOLDER RESULT PICTURES
python -m mtl.entrypoints.reevaluate latency MODEL_FOLDER RESULT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mtl.config.params import load
from mtl.package import BUNDLE
from mtl.reports.requests import Latency
from mtl.stages import OUTPUTS, home, run_stage


def main() -> None:
    """Write what was asked for to a file."""
    what, model, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if what == "evaluate":
        from mtl.package.reevaluate import reevaluate

        challenger = Path(sys.argv[4]) / BUNDLE
        text = reevaluate(model / BUNDLE, load(), OUTPUTS, challenger, home()).model_dump_json()
    elif what == "pictures":
        from mtl.package.pictures import pictures_beside
        from mtl.reports import read_report
        from mtl.reports.pictures import Pictures

        shown = read_report(Pictures, Path(sys.argv[4]))
        text = pictures_beside(model / BUNDLE, load(), OUTPUTS, shown).model_dump_json()
    else:
        from mtl.package.latency import median_latency

        text = json.dumps(Latency(median_ms=median_latency(model / BUNDLE)).model_dump())
    result.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)

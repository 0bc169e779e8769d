"""`make faults`: every point of the matrix, one after the other, and the table."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.lab import Lab, Result, team
from tests.faults.points import POINTS, SERVERS


def main() -> int:
    """Run the points; 1 if one was not survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="regular expression: points whose name it finds")
    parser.add_argument("--out", default="reports/faults.json", type=Path)
    wanted = parser.parse_args()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="faults") as scratch:
        lab = Lab(Path(scratch), ROOT / ".mtl" / "downloads")
        servers = {}
        try:
            lab.open()
            for point in POINTS:
                if re.search(wanted.only, point.name):
                    _tell(results, lab.check(point))
            for point in SERVERS:
                if re.search(wanted.only, point.name):
                    servers = servers or team(Path(scratch))
                    _tell(results, lab.check(point, servers))
        finally:
            lab.close()
            for server in reversed(servers.values()):
                server.stop()
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps({"points": [result.as_json() for result in results]}, indent=1) + "\n")
    failed = [result for result in results if not result.survived]
    print(f"{len(results)} points, {len(results) - len(failed)} survived; table: {wanted.out}")
    return 1 if failed or not results else 0


def _tell(results: list[Result], result: Result) -> None:
    results.append(result)
    verdict = "survived" if result.survived else "LOST"
    print(
        f"{verdict:<9}{result.name:<44}{result.killed:<16}{result.went_on:<15}weights {'=' if result.weights_equal else '≠'}  "
        f"versions {result.versions}  champions {result.champions}  promotions {result.promotions}  "
        f"left {result.processes_left}  {result.seconds:.0f} s",
        flush=True,
    )
    if result.note:
        print(result.note, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

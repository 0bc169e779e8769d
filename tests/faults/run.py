"""`make faults`: every point of the matrix, one after the other, and the table, which is written after each."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from mtl.errors import ConfigError
from tests.conftest import ROOT
from tests.faults.lab import Lab, Result, team
from tests.faults.points import POINTS, SERVERS, Point
from tests.servers import Server


def main() -> int:
    """Run the points; 1 if one was not survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="regular expression: points whose name it finds")
    parser.add_argument("--out", default="reports/faults.json", type=Path)
    parser.add_argument("--go-on", action="store_true", help="leave out the points that the table has as survived")
    wanted = parser.parse_args()
    table = Table(wanted.out, go_on=wanted.go_on)
    with tempfile.TemporaryDirectory(prefix="faults") as scratch:
        lab = Lab(Path(scratch), ROOT / ".mtl" / "downloads")
        servers: dict[str, Server] = {}
        try:
            lab.open()
            for point in [*POINTS, *SERVERS]:
                if re.search(wanted.only, point.name) and not table.has(point):
                    if point in SERVERS:
                        servers = servers or team(Path(scratch))
                    table.add(_tried(lab, point, servers))
        finally:
            lab.close()
            for server in reversed(servers.values()):
                server.stop()
    lost = [result for result in table.results.values() if not result.survived]
    print(f"{len(table.results)} points, {len(table.results) - len(lost)} survived; table: {wanted.out}")
    return 1 if lost or not table.results else 0


def _tried(lab: Lab, point: Point, servers: dict[str, Server]) -> Result:
    """One point; whatever goes wrong while looking is a row, too. What an earlier one left dead is started first."""
    began = time.monotonic()
    try:
        for server in (lab.prefect, *servers.values()):
            if not server.answers():
                server.stop()
                server.start()
        return lab.check(point, servers if point in SERVERS else None)
    except Exception as error:
        return lab.fail(point, error, time.monotonic() - began)


class Table:
    """The rows so far, in a file that is whole after each.

    Args:
        go_on: begin with the rows that the file has.

    Raises:
        ConfigError: they are of another commit.
    """

    def __init__(self, path: Path, *, go_on: bool) -> None:
        self.path, self.results = path, dict[str, Result]()
        self.commit = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        if go_on and path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if found.get("commit") != self.commit:
                raise ConfigError(
                    f"{path} is the table of another commit",
                    found=f"{str(found.get('commit'))[:12]}, here {self.commit[:12]}",
                    fix="run it without --go-on",
                )
            names = {field.name for field in fields(Result)}
            rows = [Result(**{key: row[key] for key in names}) for row in found["points"]]
            self.results = {row.name: row for row in rows}

    def has(self, point: Point) -> bool:
        """Whether a point was survived already."""
        return point.name in self.results and self.results[point.name].survived

    def add(self, result: Result) -> None:
        """Write a row, and say it."""
        self.results[result.name] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".tmp")
        rows = [row.as_json() for row in self.results.values()]
        scratch.write_text(json.dumps({"commit": self.commit, "points": rows}, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.path)
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

"""`mtl doctor`."""

from __future__ import annotations

import json

import typer

from flows.cli.exit_codes import ExitCode
from flows.cli.options import AsJson

app = typer.Typer()


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong here, and how to mend it.

    Machine, versions, disks, git, remote, servers and keys are looked at. Exit code 1: something is wrong.
    """
    from flows.doctor.findings import Finding, examine, summary
    from flows.doctor.subject import Subject
    from flows.doctor.table import CHECKS

    findings: list[Finding] = []
    for finding in examine(Subject(), CHECKS):
        findings.append(finding)
        if not as_json:
            typer.echo(finding.lines)
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=1))
    else:
        typer.echo(f"\n{summary(findings)}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(ExitCode.NO)

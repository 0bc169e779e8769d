"""`mtl stack`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.exit_codes import ExitCode
from flows.cli.options import AsJson

stack = typer.Typer(no_args_is_help=True, help="Real servers on this machine without containers, as a team has them.")


def _folder() -> Path:
    from flows.settings import enter_checkout

    return enter_checkout().home / "stack"


@stack.command()
def up(nodes: Annotated[int, typer.Option(min=1, help="of the Ray cluster, its head among them")] = 1) -> None:
    """Start Postgres, an S3 store, MLflow, Prefect and Ray.

    All with passwords; it waits until they answer.
    """
    from flows.stack.keeper import up as start
    from flows.stack.plan import ENVIRONMENT, SECTION

    folder = _folder()
    typer.echo("starting …")
    plan = start(folder, nodes)
    for name, port in (("MLflow", "mlflow"), ("Prefect", "prefect"), ("Ray", "ray"), ("S3", "store_s3")):
        typer.echo(f"{name:<9}{plan.url(port)}")
    typer.echo(f"\nuse it:  source {folder / ENVIRONMENT}   # addresses and passwords")
    typer.echo(f"         mtl retrain --set @{folder / SECTION}")


@stack.command()
def status(as_json: AsJson = False) -> None:
    """Every server, and whether it answers (exit code 1 if one does not)."""
    from flows.stack.keeper import status as ask

    found = ask(_folder())
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        for server in found["servers"]:
            typer.echo(f"{server['name']:<10}{'up' if server['up'] else 'DOWN':<6}{server['address']}")
    if not all(server["up"] for server in found["servers"]):
        raise typer.Exit(ExitCode.NO)


@stack.command()
def down() -> None:
    """End the servers; their data stay for the next time."""
    from flows.stack.keeper import down as end

    typer.echo("the stack has ended" if end(_folder()) else "the stack did not run")

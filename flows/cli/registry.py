"""`mtl registry`: what somebody did to it in MLflow's page, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.exit_codes import ExitCode

registry = typer.Typer(no_args_is_help=True, help="The registry itself: what was deleted or renamed in MLflow.")


@registry.command()
def repair(yes: Annotated[bool, typer.Option("--yes", help="mend without asking")] = False) -> None:
    """Say what was deleted or renamed in MLflow, and mend what can be.

    Exit code 1: something cannot.
    """
    from flows.checkout.workspace import exclusive
    from flows.registry.repair import examine
    from flows.registry.repair import repair as mend
    from flows.settings import enter_checkout

    settings = enter_checkout()
    with exclusive(settings):
        found = examine(settings)
        for damage in found:
            typer.echo(f"{damage.what}: {damage.remedy or 'cannot be mended here; restore a back-up'}")
        if not found:
            typer.echo("nothing is missing")
            return
        if any(damage.mend for damage in found) and (yes or typer.confirm("mend?")):
            found = mend(settings)
            for damage in found:
                typer.echo(f"left: {damage.what}")
    raise typer.Exit(ExitCode.NO if found else ExitCode.DONE)

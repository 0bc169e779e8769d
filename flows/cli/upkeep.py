"""What keeps a registry whole as weeks pass: back-ups, room, keys, homes that move."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.completion import versions
from flows.cli.options import AsJson

if TYPE_CHECKING:
    pass

_LOG = logging.getLogger(__name__)
app = typer.Typer()


@app.command()
def backup(
    target: Annotated[str, typer.Argument(help="folder or bucket of the back-ups")],
    as_json: AsJson = False,
) -> None:
    """Copy the registry: MLflow's database and artifacts.

    What an earlier back-up holds is not copied again.
    """
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.backup import back_up

    settings = enter_checkout()
    show_lines().all_to_stderr = as_json
    found = back_up(settings, target)
    if as_json:
        typer.echo(json.dumps(found.model_dump(), indent=1))


@app.command()
def restore(
    source: Annotated[str, typer.Argument(help="folder or bucket of the back-ups")],
    name: Annotated[str, typer.Option(help="which one; the last whole one if not said")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="give up the versions that the registry has now")] = False,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="whoever made it: the place is one's own")] = False,
) -> None:
    """Bring a back-up of the registry back, once all of it is verified."""
    from flows.settings import enter_checkout
    from flows.versions.backup import restore as bring_back

    bring_back(enter_checkout(), source, name or None, replace=replace, unsigned=unsigned)


@app.command()
def clean(yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False) -> None:
    """Remove what `retention` in params.yaml keeps no longer.

    Old versions, runs, reports, their data, room in databases.
    """
    from flows.checkout.workspace import exclusive
    from flows.registry.load import load_registry
    from flows.registry.retention import carry_out, plan, shrink
    from flows.settings import enter_checkout

    settings = enter_checkout()
    with exclusive(settings):
        config, registry = load_registry(settings)
        going = plan(settings, config, registry)
        for line in going.lines() or ["nothing is older than retention says"]:
            typer.echo(line)
        if going.lines() and (yes or typer.confirm("remove?")):
            carry_out(settings, config, registry, going)
            typer.echo("removed")
        elif not going.lines():
            shrink(settings)


@app.command()
def keys(
    declare: Annotated[
        bool, typer.Option("--declare", help="write the public one into the checkout, to be committed")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Who signs here, and whose signatures count.

    And by whom the registry's versions are signed.
    """
    from flows.registry.keys import collect, show
    from flows.registry.keys import declare as write
    from flows.run_log import show_lines
    from flows.settings import enter_checkout

    settings = enter_checkout()
    show_lines().all_to_stderr = as_json
    if declare:
        _LOG.info(f"declared     {write(settings)} (git add, git commit)")
    found = collect(settings)
    typer.echo(json.dumps(found.model_dump(), indent=1) if as_json else show(found))


@app.command()
def mend(version: Annotated[int, typer.Argument(help="number of the version", autocompletion=versions)]) -> None:
    """Bring a version's package back that was damaged in the registry.

    From a verified copy, or the DVC cache or remote.
    """
    from flows.registry.mending import mend as put_back
    from flows.settings import enter_checkout

    typer.echo(put_back(enter_checkout(), version))


@app.command()
def relocate() -> None:
    """Mend the registry's addresses after a home or checkout moved.

    Or was renamed or copied: they become those of this place.
    """
    from flows.registry.relocation import relocate as rewrite
    from flows.settings import enter_checkout

    typer.echo(rewrite(enter_checkout()).line())

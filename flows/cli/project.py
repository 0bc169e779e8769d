"""`mtl new` and `mtl upgrade-params`: a project of one's own, and what a newer mtl asks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.exit_codes import ExitCode

app = typer.Typer()


@app.command()
def new(
    name: Annotated[Path | None, typer.Argument(help="folder of the project, which is called like it")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="bring the project of this folder up to the installed mtl")
    ] = False,
) -> None:
    """Make a project of your own, or bring one up to a newer mtl."""
    from flows.project.create import create
    from mtl.errors import ConfigError

    if (name is None) != update:
        raise ConfigError(
            "mtl new wants a name, or --update",
            found="neither" if name is None else "both",
            fix="mtl new shop; or mtl new --update in a project",
        )
    if name is None:
        _update()
        return
    for line in create(name):
        typer.secho(line, fg="yellow", err=True)
    typer.echo(f"{name} is ready. Next:\n  cd {name}\n  mtl retrain                  # the example; minutes")
    typer.echo("  mtl data init PATH           # or your own images first: recognised, and proposed for params.yaml")


def _update() -> None:
    from flows.checkout.installed import stale
    from flows.project.create import read_answers, update
    from flows.project.template import mtl_version

    root = Path.cwd()
    before, other = read_answers(root)["mtl_version"], stale(root)
    conflicts = update(root)
    typer.echo(f"mtl {before} → {mtl_version()}; other code for: {', '.join(other) or 'no stage'}")
    for path in conflicts:
        typer.secho(
            f"conflict: {path} was changed here and in the template; choose between the marks in it", fg="yellow"
        )
    typer.echo("next: git diff, mtl upgrade-params, make test, git commit")
    if conflicts:
        raise typer.Exit(ExitCode.NO)


@app.command("upgrade-params")
def upgrade_params(
    path: Annotated[Path, typer.Argument(help="the file")] = Path("params.yaml"),
    written_for: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="version of mtl that the file was written for: defaults that changed since are kept as they were",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking")] = False,
) -> None:
    """Move an older params.yaml forward, and show what changes."""
    from mtl.config.rewriting import rewritten
    from mtl.storage import atomic

    found = rewritten(path, written_for)
    if not found.notes:
        typer.echo(f"{path} needs no change")
        if written_for is None:
            typer.echo(
                "(defaults that changed since it was written cannot be seen in it: --from 0.1.0 keeps what they were)"
            )
        return
    typer.echo(found.diff)
    for note in found.notes:
        typer.echo(f"- {note}")
    if yes or typer.confirm(f"write this into {path}?"):
        atomic.write(path, found.after)
        typer.echo(f"{path} is written; git diff shows it again")

"""Who is champion, and why: promote, roll back, history, lineage, differences."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.completion import keys, versions
from flows.cli.exit_codes import ExitCode
from flows.cli.options import AsJson, absolute, page_file

if TYPE_CHECKING:
    pass

_LOG = logging.getLogger(__name__)
app = typer.Typer()


@app.command()
def promote(
    version: Annotated[int, typer.Argument(help="number of the version", autocompletion=versions)],
    override: Annotated[bool, typer.Option("--override", help="though the gate refuses; needs --why")] = False,
    why: Annotated[str, typer.Option(help="reason, kept in the history")] = "",
) -> None:
    """Make a version champion, if the gate lets it in.

    It is compared with the present champion first.
    """
    from flows.settings import enter_checkout
    from flows.versions.champion import promote as make_champion

    decision, entry = make_champion(enter_checkout(), version, override=override, why=why)
    for rule in decision.rules:
        typer.echo(f"{'yes' if rule.passed else 'NO ':<4} {rule.name}: required {rule.required}, found {rule.found}")
    if entry is None:
        _LOG.warning(f"version {version} was not promoted: {decision.summary}")
        raise typer.Exit(ExitCode.NO)
    typer.echo(f"version {entry.to} is champion, in place of {entry.replaces or 'none'}")


@app.command()
def rollback(
    to: Annotated[
        int | None, typer.Option(help="an earlier champion; the one before if not said", autocompletion=versions)
    ] = None,
    why: Annotated[str, typer.Option(help="reason, kept in the history")] = "",
) -> None:
    """Make an earlier champion champion again."""
    from flows.settings import enter_checkout
    from flows.versions.champion import roll_back

    entry = roll_back(enter_checkout(), to, why)
    typer.echo(f"version {entry.to} is champion again, in place of {entry.replaces}")


@app.command()
def history(
    as_json: AsJson = False,
    html: Annotated[str, typer.Option(help="write a page to this file: versions, metrics and decisions, too")] = "",
) -> None:
    """Every change of the champion: when, who, from, to, why."""
    from flows.settings import enter_checkout
    from flows.versions.champion import history as changes
    from mtl.output.terminal import one_line

    settings = enter_checkout()
    path = page_file(html) if html else None
    found = changes(settings)
    if path is not None:
        from flows.home.history import write_history

        write_history(settings, found, path)
    if as_json:
        typer.echo(json.dumps([entry.as_json() for entry in found], indent=1))
        return
    for entry in found:
        line = (
            f"{entry.when}  {entry.replaces or '-':>4} → {entry.to or '-':<4} {entry.kind:<10} {entry.who:<12} "
            f"{entry.why.splitlines()[0] if entry.why else ''}"
            + (f" (UNVERIFIED, does not count: {entry.unverified})" if entry.unverified is not None else "")
        )
        typer.echo(one_line(line))


@app.command()
def adopt(
    versions: Annotated[
        list[int] | None, typer.Argument(help="numbers of versions; all that are unverified by default")
    ] = None,
) -> None:
    """Sign what nobody who is trusted has signed.

    It is signed as the registry has it now: look at it first. Needs mtl --unverified.
    """
    from flows.registry.adoption import adopt as sign_for
    from flows.settings import enter_checkout

    for number in sign_for(enter_checkout(), versions or []):
        typer.echo(f"version {number} is signed")


@app.command()
def lineage(
    version: Annotated[int, typer.Argument(help="number of the version", autocompletion=versions)],
    as_json: AsJson = False,
    html: Annotated[str, typer.Option(help="write a page to this file")] = "",
) -> None:
    """Where a version comes from: data, code, params, machine, decisions."""
    from flows.registry.lineage import collect, page, show
    from flows.settings import enter_checkout

    settings = enter_checkout()
    path = page_file(html) if html else None
    found = collect(settings, version)
    if path is not None:
        page(found, path)
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else show(found))


@app.command()
def diff(
    first: Annotated[int, typer.Argument(help="number of a version", autocompletion=versions)],
    second: Annotated[int, typer.Argument(help="number of another", autocompletion=versions)],
    images: Annotated[list[str] | None, typer.Option(help="images on which both predict")] = None,
    out: Annotated[str, typer.Option(help="folder of the predictions and their picture")] = "",
    as_json: AsJson = False,
) -> None:
    """What differs between two versions.

    Params, data, code, metrics with intervals, predictions.
    """
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.diff import diff as compare_versions
    from flows.versions.diff import show

    show_lines().all_to_stderr = bool(images)  # the predictions' lines
    found = compare_versions(enter_checkout(), first, second, images or [], out)
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else show(found))


@app.command()
def reproduce(
    version: Annotated[int, typer.Argument(help="number of the version", autocompletion=versions)],
    as_json: AsJson = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="with another key of its params", autocompletion=keys)
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="with this checkout's code, params and data instead")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave the folder in which it was built")] = False,
) -> None:
    """Build a version again: identical, or exactly what differs.

    From what is kept of it in the registry. Exit code 1: something differs.
    """
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from flows.versions.reproduce import reproduce as build
    from flows.versions.reproduce import show

    settings = enter_checkout()
    show_lines().all_to_stderr = True
    result = build(settings, version, overrides=absolute(overrides), here=here, keep=keep)
    typer.echo(json.dumps(result.as_json(), indent=1) if as_json else show(result))
    if result.verdict != "identical":
        raise typer.Exit(ExitCode.NO)

"""Methods beside each other, and what can be chosen."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.completion import keys
from flows.cli.options import AsJson, absolute, numbers

app = typer.Typer()


@app.command("list")
def list_choices(as_json: AsJson = False) -> None:
    """What params.yaml can choose from."""
    from mtl.config.choices import choices

    found = choices()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for kind, members in found.items():
        typer.secho(kind, bold=True)
        for name, line in members.items():
            typer.echo(f"  {name:<16}{line}")


@app.command()
def baselines(as_json: AsJson = False) -> None:
    """Train one model per task with the same budget, and compare.

    Δm per task and overall.
    """
    from flows.comparison.baselines import run_baselines
    from flows.run_log import show_lines
    from flows.settings import enter_checkout

    settings = enter_checkout()
    show_lines().all_to_stderr = True
    run_baselines(settings, as_json)


@app.command()
def compare(
    weightings: Annotated[str, typer.Option(help="names with commas, or all")] = "all",
    aggregators: Annotated[str, typer.Option(help="names with commas, or all")] = "all",
    seeds: Annotated[int, typer.Option(help="trainings of each method at each rate")] = 3,
    rates: Annotated[str, typer.Option(help="learning rates with commas; the declared one by default")] = "",
    static: Annotated[int, typer.Option(help="random vectors of static weights that are tried")] = 4,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="change a key of params.yaml", autocompletion=keys)
    ] = None,
    out: Annotated[str, typer.Option(help="folder of the table and the pictures")] = "",
    as_json: AsJson = False,
) -> None:
    """Compare multi-task methods over one grid, in one table.

    With single-task baselines and static weights.
    """
    from pathlib import Path

    from flows.comparison.compare import run_compare
    from flows.run_log import show_lines
    from flows.settings import enter_checkout
    from mtl.reports.requests import CompareRequest

    settings = enter_checkout()
    show_lines().all_to_stderr = True
    wanted = CompareRequest(
        weightings=tuple(w for w in weightings.split(",") if w),
        aggregators=tuple(a for a in aggregators.split(",") if a),
        learning_rates=numbers("--rates", rates),
        seeds=seeds,
        static=static,
    )
    folder = Path(out) if out else settings.home / "comparisons" / "latest"
    run_compare(settings, wanted, absolute(overrides), folder, as_json)

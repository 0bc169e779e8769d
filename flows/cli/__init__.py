"""The `mtl` command. Heavy imports happen inside the commands: `mtl --help` answers at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from flows.cli import champion, comparison, doctor, prediction, project, retraining, servers, upkeep
from flows.cli.data import data
from flows.cli.exit_codes import ExitCode
from flows.cli.help_panels import ByPurpose
from flows.cli.registry import registry
from flows.cli.stack import stack

app = typer.Typer(
    cls=ByPurpose,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Retrain, register and promote multi-task vision models.",
)
for group in (retraining, champion, prediction, upkeep, comparison, servers, project, doctor):
    app.add_typer(group.app)  # without a name: their commands are the top ones
app.add_typer(data, name="data")
app.add_typer(stack, name="stack")
app.add_typer(registry, name="registry")

ANYWHERE = ("--quiet", "--debug")
"""Options of every command: they may stand before its name or behind it."""
SERVERS = ("serve", "ui", "endpoint", "stack")
"""Commands that go on until Ctrl-C: a supervisor reads their lines, the engines' too, and keeps them."""

GO_ON = {
    "retrain": "run it again to go on from the last checkpoint",
    "baselines": "run it again to go on from the last checkpoint: finished tasks are kept",
    "compare": "run it again to go on: finished trials are kept",
    "predict": "run it again to go on with the images that are left",
    "reproduce": "run it again to begin anew",
}
"""Command → what it does after it was stopped."""


@app.callback()
def everywhere(
    context: typer.Context,
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="let through what nobody who is trusted has signed (MTL_UNVERIFIED=allow)"),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="the result and errors alone")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="tracebacks of errors (MTL_DEBUG=1)")] = False,
) -> None:
    """Retrain, register and promote multi-task vision models."""
    if unverified:
        os.environ["MTL_UNVERIFIED"] = "allow"
    if context.invoked_subcommand not in SERVERS:
        from flows.terminal import begin

        begin(context.invoked_subcommand or "mtl", quiet=quiet, debug=debug or os.environ.get("MTL_DEBUG", "") == "1")


def main() -> None:
    """Entry point: a user's error is printed without a traceback and ends with code 2, one that nobody foresaw with code 1."""
    from flows.run_log import show_lines
    from flows.terminal import stop_display
    from mtl.config.credentials import refuse_credentials
    from mtl.errors import MtlError
    from mtl.output.terminal import guard
    from mtl.surroundings import name_user, open_streams

    open_streams()
    name_user()
    guard()
    # Whoever ends this process (a supervisor, `kill`) ends what it started, as Ctrl-C does.
    for wanted in (signal.SIGTERM, signal.SIGINT):  # a shell ignores SIGINT for what it starts in the background
        signal.signal(wanted, signal.default_int_handler)
    try:
        show_lines()
        refuse_credentials(sys.argv[1:])
        result: object = app(_with_first(ANYWHERE, sys.argv[1:]), prog_name="mtl", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort) as error:
        if isinstance(error, typer.Abort) and error.__cause__ is None:  # a question that nobody answered
            _say("no answer: nothing was changed (--yes answers yes)")
            sys.exit(ExitCode.NO)
        _stopped()
    except BrokenPipeError:  # whoever read it has read enough: mtl history | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(ExitCode.DONE)
    except MtlError as error:
        _fail(error)
        sys.exit(ExitCode.MEND)
    except typer.TyperException as error:
        from flows.cli.usage import explain

        if (explained := explain(error)) is not None:
            _fail(explained)
        sys.exit(ExitCode.MEND)
    except Exception as error:
        _end_with(error)
    finally:
        stop_display()
    if result == ExitCode.STOPPED:  # typer's answer to Ctrl-C
        _stopped()
    sys.exit(result if isinstance(result, int) else 0)


def _with_first(names: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words of a command line with those options before all others; what stands behind `--` stays."""
    end = words.index("--") if "--" in words else len(words)
    first = [word for word in words[:end] if word in names]
    return [*dict.fromkeys(first), *(word for word in words[:end] if word not in names), *words[end:]]


def _stopped() -> NoReturn:
    """End after Ctrl-C, and say what the same command does next time."""
    from flows.terminal import current

    terminal = current()
    after = GO_ON.get(terminal.command if terminal else "")
    _say(f"stopped; {after}" if after else "stopped")
    sys.exit(ExitCode.STOPPED)


def _say(line: str) -> None:
    """A last word of the command."""
    from flows.terminal import current, stop_display

    terminal = current()
    stop_display()
    typer.secho(line, fg="yellow", file=terminal.err if terminal else sys.stderr)


def _fail(error: Exception) -> None:
    """Show an error: in a command by its terminal, which has a log to name."""
    from flows.terminal import current
    from mtl.errors import MtlError

    terminal = current()
    if terminal is None:
        typer.secho(f"error: {error}", fg="red", err=True)
    elif isinstance(error, MtlError):
        terminal.fail(error)
    else:
        terminal.crash(error)


def _end_with(error: Exception) -> NoReturn:
    """End with an error that is none of ours: of a full disk, or one that nobody foresaw."""
    from flows.terminal import current
    from mtl.surroundings import trouble_with_disk

    if disk := trouble_with_disk(error):
        _fail(disk)
        sys.exit(ExitCode.MEND)
    if current() is None:
        raise error
    _fail(error)
    sys.exit(ExitCode.NO)

"""The command line: the commands under one name, and how their errors end. What a command does stands in its module."""

from __future__ import annotations

import traceback
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.ablate import ablate
from lightcnn.cli.audit import audit
from lightcnn.cli.check import check
from lightcnn.cli.compare import compare
from lightcnn.cli.explain import explain
from lightcnn.cli.list import list_
from lightcnn.cli.options import Interrupted
from lightcnn.cli.predict import predict
from lightcnn.cli.profile import profile
from lightcnn.cli.search import search
from lightcnn.cli.train import train
from lightcnn.errors import DocumentError, LightcnnError
from lightcnn.text import first_line, visible
from lightcnn.version import __version__

app = typer.Typer(
    name="lightcnn",
    help="Architecture search for lightweight CNNs under exact FLOP, parameter and memory budgets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (search, train, ablate, profile, explain, audit, predict, compare, check):
    app.command()(command)
app.command("list")(list_)

UsageError: Any = typer.BadParameter.__mro__[1]
"""Base of what typer raises for a wrong command line (typer carries its own copy of click)."""


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; errors are one line on stderr."""
    debug = "--debug" in arguments
    try:
        code = app(arguments, standalone_mode=False)
        if code == 130:  # typer's own answer to Ctrl-C, in silence
            return _ended("interrupted", 130, debug=False)
        return code if isinstance(code, int) else 0
    except DocumentError as error:
        for problem in error.problems[:-1]:
            typer.echo(f"lightcnn: {problem}", err=True)
        return _ended(str(error.problems[-1]), error.exit_code, debug)
    except LightcnnError as error:
        return _ended(str(error), error.exit_code, debug)
    except Interrupted as hint:
        return _ended(str(hint), 130, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _ended("interrupted", 130, debug)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        message = error.format_message()
        if not arguments:
            typer.echo(message, err=True)
            return 2
        message = " ".join(message.split())
        return _ended(f"{message}; see `{context.command_path if context else 'lightcnn'} --help`", 2, debug)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _ended(
            f"{error.filename or 'output'}: {error.strerror}; see that the disk has room, then --resume", 1, debug
        )
    except Exception as error:
        reason = first_line(error)
        return _ended(f"{type(error).__name__}: {reason} (a fault of lightcnn; --debug shows where)", 1, debug)


def _ended(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    # Names of files stand in it, which may hold what a terminal obeys.
    Console(stderr=True, highlight=False).print(Text(visible(f"lightcnn: {message}")), soft_wrap=True)
    return code


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="The version, and nothing else.")] = False,
) -> None:
    if version:
        typer.echo(f"lightcnn {__version__}")
        raise typer.Exit

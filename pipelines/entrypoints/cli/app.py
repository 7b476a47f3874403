"""The application: its panels, its global options, and what its commands share."""

import inspect
import platform
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

PANELS = {
    "Data": ("data", "features"),
    "Train": ("run", "train", "sweep", "follow", "cancel", "drain"),
    "Release": ("propose", "approve", "deploy", "rollback", "release", "promote"),
    "Serve": ("serve", "token", "predict", "replay", "export"),
    "Watch": ("monitor", "watch"),
    "Look": ("status", "explain", "compare", "lineage", "releases", "report", "delivery"),
    "Set up": ("demo", "doctor", "problem", "render", "backup", "recover"),
    "For workflows and jobs": ("github", "workflow", "step"),
}
"""The commands as ``mlops --help`` shows them: panels in the order of work, the most used command of each first."""

ROOT = Path(__file__).parents[3]
Function = TypeVar("Function", bound=Callable[..., None])


class Where(StrEnum):
    """Where a run computes: in this process, on SageMaker, or as a Job of a cluster."""

    HERE = "here"
    AWS = "aws"
    KUBERNETES = "kubernetes"


def _readable(command: TyperCommand | TyperGroup, params: list[Any]) -> list[Any]:
    """Give help that fits the terminal: paragraphs without the source's line breaks, and flags without a type."""
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for param in params:
        if getattr(param, "is_bool_flag", False):
            param.metavar = ""
    return params


class _Command(TyperCommand):
    """A command with readable help."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _readable(self, super().get_params(ctx))


class _Group(TyperGroup):
    """A group of commands with readable help."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _readable(self, super().get_params(ctx))


class _Panels(_Group):
    """The application's own group, whose commands are in panels."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for panel, names in PANELS.items():
            for name in names:
                command = self.commands[name] = self.commands.pop(name)  # the order of the panels
                assert isinstance(command, TyperCommand | TyperGroup)
                command.rich_help_panel = panel


app = typer.Typer(
    name="mlops",
    cls=_Panels,
    help="Train, judge, release, serve and watch models: every step of the loop, one command each.",
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 the answer is no, 130 Ctrl-C",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Version = Annotated[str, typer.Argument(metavar="MODEL", help="A version, such as v3, or the start of a digest.")]
On = Annotated[Where, typer.Option(help="Where to run. Elsewhere the run is started, and the command returns.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
        help="Act as of this day or moment in UTC. Default: now, or RATCHET_AS_OF.",
    ),
]


def command(group: typer.Typer, *examples: str) -> Callable[[Function], Function]:
    """Add a function to a group as the command of its name; its help ends with the examples."""

    def add(function: Function) -> Function:
        name = function.__name__.removesuffix("_command").replace("_", "-")
        lines = "\n".join(f"  {escape(example)}" for example in examples)
        title = "Examples" if len(examples) > 1 else "Example"
        group.command(name, cls=_Command, epilog=f"[bold]{title}[/]\n{lines}")(function)
        return function

    return add


def group(name: str, text: str) -> typer.Typer:
    """Add a group of commands to the application."""
    made = typer.Typer(cls=_Group, help=text, no_args_is_help=True)
    app.add_typer(made, name=name)
    return made


def _version(asked: bool) -> None:
    if asked:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        typer.echo(f"{project['name']} {project['version']}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment", "-e", metavar="NAME", help="Environment to act on. Default: RATCHET_ENVIRONMENT."
        ),
    ] = None,
    home: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the embedded profile keeps all. Default: RATCHET_HOME.")
    ] = None,
    releases: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The release files. Default: releases, in --home if given.")
    ] = None,
    version: Annotated[  # noqa: ARG001  (its callback acts)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Make the platform that the command will use."""
    from pipelines.bootstrap import Platform
    from pipelines.settings import Settings

    if home and not releases:  # another home is another system, whose commands must not change this one's files
        releases = home / "releases"
    given = {"home": home, "environment": environment, "releases": releases}
    context.obj = Platform(Settings.read().changed({name: value for name, value in given.items() if value}))


def lasting(acts_on: "Platform") -> "Platform":
    """Return a platform whose state outlives this process.

    Raises:
        UserError: for the embedded profile on a runner of GitHub's, where each job would begin with nothing.
    """
    from pipelines.config import UserError
    from pipelines.settings import is_hosted_runner

    if acts_on.settings.profile == "embedded" and is_hosted_runner():
        raise UserError(
            "the profile embedded keeps its state on the disk, and that of a runner of GitHub's is gone after the job; "
            "set the repository's variables RUNNER and RATCHET_HOME for a runner of your own (docs/workflows.md), or "
            "set up AWS (docs/first-day.md)"
        )
    return acts_on


def moment(acts_on: "Platform", as_of: datetime | None) -> datetime:
    """Return the moment a command acts at."""
    return as_of.replace(tzinfo=UTC) if as_of else acts_on.settings.now()

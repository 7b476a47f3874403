"""The commands that show: status, explain, lineage, report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pipelines.cli.app import Json, app, console, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

_LATEST = 8


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what the environment serves, the model versions, and the latest runs and decisions."""
    content = _status(context.obj)
    if as_json:
        print_json(content)
        return
    state = content["release"]
    served = {name: f"v{state[name]['version']}" if state[name] else "none" for name in ("champion", "challenger")}
    console.print(
        f"[bold]{content['environment']}[/]  champion {served['champion']}, challenger {served['challenger']}, ", end=""
    )
    console.print(f"latest release: {state['phase']}")
    for model, reason in state["quarantined"].items():
        console.print(f"[yellow]quarantined[/] {model[:12]}: {reason}")
    versions = Table("version", "model", "trained", "estimator", "gates", "because", box=None, header_style="dim")
    for column in versions.columns[:-1]:
        column.no_wrap = True
    for version in content["versions"]:
        gates = "[green]passed[/]" if version["accepted"] else "[red]refused[/]"
        versions.add_row(
            f"v{version['version']}",
            version["model"][:12],
            version["created"][:10],
            version["estimator"],
            gates,
            version["reason"],
        )
    console.print(versions if content["versions"] else "no model yet; try 'mlops run training'")
    for decision in content["decisions"]:
        console.print(
            f"[dim]{decision['at'][:10]}[/] {'train' if decision['train'] else 'no training'}: {decision['reason']}"
        )


@app.command()
def explain(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The version, such as v3, or the beginning of a digest.")],
    as_json: Json = False,
) -> None:
    """Say why a model was trained, what each gate said of it, and what became of it in this environment."""
    platform: Platform = context.obj
    digest, version = platform.models.resolve(model)
    manifest = platform.models.manifest(digest)
    moves = [entry for entry in platform.releases.entries() if f"v{version}" in entry.reason.replace(":", " ").split()]
    if as_json:
        gates = [gate.model_dump(mode="json") for gate in manifest.gates]
        history = [entry.model_dump(mode="json", exclude={"state"}) for entry in moves]
        print_json(
            {"model": digest, "version": version, "reason": manifest.reason, "gates": gates, "releases": history}
        )
        return
    console.print(f"[bold]v{version}[/] {manifest.estimator} [dim]{digest[:12]}[/]  trained because: {manifest.reason}")
    for gate in manifest.gates:
        console.print(f"  {'[green]✔[/]' if gate.passed else '[red]✘[/]'} {gate.gate:<24} {gate.reason}")
    if not manifest.gates:
        console.print("  no gate judged it")
    for entry in moves:
        console.print(f"  [dim]{entry.at:%Y-%m-%d %H:%M}[/] {entry.action} by {entry.who}: {entry.reason}")


@app.command()
def lineage(
    context: typer.Context,
    of: Annotated[str, typer.Argument(help="A prediction id, or a version such as v3.")],
    as_json: Json = False,
) -> None:
    """Trace a prediction or a model back to its run, its data and its commit."""
    from pipelines.lineage import of_model, of_prediction, tree
    from pipelines.spec import UserError

    platform: Platform = context.obj
    found = of_prediction(platform.models, platform.predictions, of) if len(of) == 32 else of_model(platform.models, of)
    if found is None:
        raise UserError(f"the prediction log of {platform.settings.environment!r} has no prediction {of}")
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.print(tree(found))


@app.command()
def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path("report.html"),
) -> None:
    """Write one page with quality over time, drift, calibration, decisions and lineage."""
    from pipelines.report import write_report

    write_report(context.obj, output)
    console.print(f"[green]✔[/] {output}")


def _status(platform: "Platform") -> dict[str, Any]:
    environment = platform.settings.environment
    versions = []
    for version, digest in sorted(platform.models.versions().items())[-_LATEST:]:
        manifest = platform.models.manifest(digest)
        chosen = manifest.model_dump(mode="json", include={"created", "estimator", "reason", "run_id"})
        versions.append({"version": version, "model": digest, "accepted": manifest.accepted, **chosen})
    decisions = [_read(platform, key) for key in platform.objects.keys(f"decisions/{environment}/")[-_LATEST:]]
    return {
        "environment": environment,
        "release": platform.releases.state().model_dump(mode="json"),
        "versions": versions,
        "decisions": decisions,
    }


def _read(platform: "Platform", key: str) -> dict[str, Any]:
    return json.loads(platform.objects.read(key) or b"{}")  # type: ignore[no-any-return]

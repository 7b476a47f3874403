"""The commands that show: status, doctor, releases, explain, compare, lineage."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.entrypoints.cli.app import Json, app, console, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.reporting.history import RunSummary

_LATEST = 8
_LINES = 5  # of the log of a run that failed; 'mlops follow' shows more


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what the environment serves, the model versions, and the latest runs and decisions."""
    platform: Platform = context.obj
    content = _status(platform)
    if as_json:
        print_json(content)
        return
    state = content["release"]
    served = {name: f"v{state[name]['version']}" if state[name] else "none" for name in ("champion", "challenger")}
    console.print(
        f"[bold]{content['environment']}[/]  champion {served['champion']}, challenger {served['challenger']}, ", end=""
    )
    proposal = platform.releases.state().proposal
    console.print(f"latest release: {f'v{proposal.released.version} ' if proposal else ''}{state['phase']}")
    if endpoint := content["endpoint"]:
        _show_endpoint(endpoint)
    numbers = {digest: version for version, digest in platform.models.versions().items()}
    for model, reason in state["quarantined"].items():
        console.print(f"[yellow]quarantined[/] v{numbers.get(model, model[:12])}: {reason}")
    versions = Table("version", "model", "trained", "estimator", "gates", "because", box=None, header_style="dim")
    for column in versions.columns[:-1]:
        column.no_wrap = True
    for version in content["versions"]:
        gates = "[green]passed[/]" if version["accepted"] else "[red]refused[/]" if version["judged"] else "not judged"
        versions.add_row(
            f"v{version['version']}",
            version["model"][:12],
            version["created"][:10],
            version["estimator"],
            gates,
            version["reason"],
        )
    console.print(versions if content["versions"] else "no model yet; try 'mlops run training'")
    for run in content["runs"]:
        failed = f" [red]failed[/] {run['failed']}" if run["failed"] else ""
        console.print(f"[dim]{run['created'][:16].replace('T', ' ')}[/] run {run['run_id']}: {run['steps']}{failed}")
        for line in run["log"]:
            console.print(f"  {line}", style="dim", markup=False)
    for decision in content["decisions"]:
        console.print(
            f"[dim]{decision['at'][:10]}[/] {'train' if decision['train'] else 'no training'}: {decision['reason']}"
        )


@app.command()
def doctor(
    context: typer.Context,
    as_json: Json = False,
    cloud: Annotated[
        bool | None,
        typer.Option("--cloud/--no-cloud", help="Ask AWS too; by default where infra/bootstrap has a stack."),
    ] = None,
) -> None:
    """Say what is left to do in this repository, what is wrong, and which files of the engine you changed.

    On AWS: tools, credentials, region, clock, bootstrap, stacks, quotas, and the level of maturity that is reached.
    With RATCHET_PROFILE=kubernetes: kubectl, the emulator of AWS, and the cluster.
    """
    from pipelines.doctor import FindingState, examine

    platform: Platform = context.obj
    findings = examine(platform.root, platform.settings.problem, look_at_cloud=cloud)
    if platform.settings.profile == "kubernetes":
        from pipelines.doctor.cluster import examine_cluster

        findings += examine_cluster(platform)
    left = sum(finding.state is FindingState.TODO for finding in findings)
    if as_json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    else:
        marks = {FindingState.OK: "[green]✔[/]", FindingState.TODO: "[yellow]✘[/]", FindingState.NOTE: "[dim]·[/]"}
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        for finding in findings:
            table.add_row(marks[finding.state], finding.check, escape(finding.says))
        console.print(table)
        console.print(f"{left} left to do (marked ✘)" if left else "nothing left to do")
    if left:
        raise typer.Exit(1)


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
    of: Annotated[str, typer.Argument(help="A prediction id of 32 digits, or a version such as v3.")],
    as_json: Json = False,
) -> None:
    """Trace a prediction or a model back to its run, its data and its commit."""
    from pipelines.config import UserError
    from pipelines.reporting.lineage import of_model, of_prediction, tree

    platform: Platform = context.obj
    found = of_prediction(platform.models, platform.predictions, of) if len(of) == 32 else of_model(platform.models, of)
    if found is None:
        environment = platform.settings.environment
        raise UserError(f"the prediction log of {environment!r} has no prediction {of}; is it written yet?")
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.print(tree(found))


@app.command("releases")
def releases_command(context: typer.Context, as_json: Json = False) -> None:
    """List the environment's releases, and check the whole signed log on the way."""
    from pipelines.reporting.history import releases

    platform: Platform = context.obj
    found = releases(platform.releases)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    table = Table("proposed", "model", "strategy", "stands", "by", "what happened", box=None, header_style="dim")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for one in found:
        told = one.reason.removeprefix(f"v{one.version}: ")
        table.add_row(f"{one.proposed:%Y-%m-%d}", f"v{one.version}", one.strategy, one.phase, one.by, told)
    console.print(table if found else "no release yet; try 'mlops propose'")


@app.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="A version, such as v3, or the beginning of a digest.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Compare two models by what their manifests say: metrics, settings, features, data and code."""
    from pipelines.reporting.comparison import differences, metrics

    platform: Platform = context.obj
    found = [platform.models.resolve(reference) for reference in (first, second)]
    one, other = (platform.models.manifest(digest) for digest, _ in found)
    if as_json:
        print_json({"metrics": metrics(one, other), "differences": differences(one, other)})
        return
    names = [f"v{version}" for _, version in found]
    table = Table("", *names, box=None, header_style="bold")
    for name, values in metrics(one, other).items():
        table.add_row(name, *("" if value is None else f"{value:.4f}" for value in values))
    for name, texts in differences(one, other).items():
        table.add_row(name, *texts)
    console.print(table)
    console.print("[dim]each metric is of the model's own test period; 'mlops release report' compares on traffic[/]")


def _status(platform: "Platform") -> dict[str, Any]:
    from pipelines.reporting.history import latest_runs

    environment = platform.settings.environment
    versions = []
    for version, digest in sorted(platform.models.versions().items())[-_LATEST:]:
        manifest = platform.models.manifest(digest)
        chosen = manifest.model_dump(mode="json", include={"created", "estimator", "reason", "run_id"})
        judged = {"accepted": manifest.accepted, "judged": bool(manifest.gates)}
        versions.append({"version": version, "model": digest, **judged, **chosen})
    decisions = [_read(platform, key) for key in platform.objects.keys(f"decisions/{environment}/")[-_LATEST:]]
    return {
        "environment": environment,
        "release": platform.releases.state().model_dump(mode="json"),
        "versions": versions,
        "runs": [_run(platform, summary) for summary in latest_runs(platform.objects, _LATEST)],
        "endpoint": _endpoint(platform),
        "decisions": decisions,
    }


def _run(platform: "Platform", summary: "RunSummary") -> dict[str, Any]:
    """Return a run as it stands; of one elsewhere that is not done also what is said there, and the end of its log."""
    from pipelines import PIPELINES
    from pipelines.bootstrap import pipeline

    total = len(pipeline(summary.pipeline).steps) if summary.pipeline in PIPELINES else summary.done
    told = {**summary.model_dump(mode="json"), "steps": f"{summary.done} of {total} steps done", "log": ()}
    executions = platform.profile.executions
    if executions and summary.done < total and executions.knows(summary.run_id):
        outcome = executions.outcome(platform.runner, pipeline(summary.pipeline), summary.run_id)
        told["steps"] += f", {outcome.status} on {executions.place}"
        if outcome.status == "failed":
            told |= {"failed": outcome.reason, "log": outcome.log[-_LINES:]}
    return told


def _show_endpoint(endpoint: dict[str, Any]) -> None:
    running = "{} of {} instances, ".format(*endpoint["instances"]) if endpoint["instances"] else ""
    told = f"endpoint {endpoint['status']}: {running}configuration {endpoint['configuration']}"
    colour = "dim" if endpoint["status"] == "InService" else "red"
    console.print(f"[{colour}]{told}[/] {escape(endpoint['reason'])}".rstrip(), soft_wrap=True)


def _endpoint(platform: "Platform") -> dict[str, Any] | None:
    """Return how the endpoint on SageMaker is, where there is one."""
    endpoint = platform.aws.endpoint if platform.settings.profile == "aws" else None
    return endpoint.health()._asdict() if endpoint else None


def _read(platform: "Platform", key: str) -> dict[str, Any]:
    return json.loads(platform.objects.read(key) or b"{}")  # type: ignore[no-any-return]

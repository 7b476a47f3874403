"""The commands that show what is there: status, features, explain, compare, lineage, releases."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import Json, Version, app, command
from pipelines.entrypoints.cli.terminal import (
    NO,
    OK,
    console,
    errors,
    print_json,
    print_pairs,
    print_table,
    say,
    suggest,
)

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.orchestration.runs import RunSummary

_LATEST = 5
_VIEW_TITLES = ("complete until", "features", "used by")
_LINES = 5  # of the log of a run that failed; 'mlops follow' shows more


@command(app, "mlops status", "mlops -e prod status --json")
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what is served, and the latest models, runs, decisions."""
    platform: Platform = context.obj
    content = _status(platform)
    if as_json:
        print_json(content)
        return
    print_pairs([("[dim]environment[/]", content["environment"]), *_release(platform, content)])
    _show_models(content["versions"])
    if views := content["feature_views"]:
        console.print()
        print_table(_VIEW_TITLES, [*_view_rows(views)])
    _show_runs(content["runs"])
    if decisions := content["decisions"]:
        console.print()
        rows = [(one["at"][:10], "yes" if one["train"] else "no", escape(one["reason"])) for one in decisions]
        print_table(("decided", "train", "because"), rows)
    for proposed in _next(content):
        suggest(proposed)


def _release(platform: "Platform", content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is served, and what is quarantined and why."""
    state, proposal = content["release"], platform.releases.state().proposal
    for name in ("champion", "challenger"):
        yield f"[dim]{name}[/]", f"v{state[name]['version']}" if state[name] else "none"
    yield "[dim]latest release[/]", f"v{proposal.released.version}, {state['phase']}" if proposal else "none"
    yield from _serving(content)
    quarantined = state["quarantined"]
    numbers = {digest: version for version, digest in platform.models.versions().items()} if quarantined else {}
    for model, reason in quarantined.items():
        yield "[yellow]quarantined[/]", escape(f"v{numbers.get(model, model[:12])}: {reason}")
    if fault := content["release_log_fault"]:
        yield "[yellow]release log[/]", escape(f"{fault}; the whole log was read and verified instead")
    if endpoint := content["endpoint"]:
        running = "{} of {} instances, ".format(*endpoint["instances"]) if endpoint["instances"] else ""
        told = f"{endpoint['status']}: {running}configuration {endpoint['configuration']} {endpoint['reason']}"
        yield f"[{'dim' if endpoint['status'] == 'InService' else 'red'}]endpoint[/]", escape(told.rstrip())


def _serving(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the wish of the release file, and what each instance of the app says that it serves."""
    if wish := content["wish"]:
        told = "" if wish["deployed"] else "; it is not deployed"
        yield "[dim]release file[/]", f"v{wish['version']} by {wish['strategy']}{told}"
    for one in content["instances"]:
        standing = one["standing"]
        served = [f"v{standing[name]['version']}" for name in ("champion", "challenger") if standing[name]]
        serves = f"{' and '.join(served)} (transition {standing['serves']})" if served else "nothing"
        fault = f", [red]refused {standing['transition']}: {escape(standing['error'])}[/]" if standing["error"] else ""
        code = f" with the code {escape(one['code'])}" if one["code"] else ""
        yield "[dim]instance[/]", f"{escape(one['instance'])} serves {serves}{code}{fault}"


def _wish(platform: "Platform") -> dict[str, Any] | None:
    """Return what the release file asks for, where there is one."""
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.release_rules import is_deployed

    folder, environment = platform.settings.releases, platform.settings.environment
    if not (folder / f"{environment}.toml").exists():
        return None
    file = read_release(folder, environment)
    deployed = is_deployed(platform.releases.state(), file)
    return {"version": file.released.version, "strategy": file.strategy.kind, "deployed": deployed}


def _show_models(versions: list[dict[str, Any]]) -> None:
    rows = []
    for one in versions:
        gates = "[green]passed[/]" if one["accepted"] else "[red]refused[/]" if one["judged"] else "not judged"
        rows.append((f"v{one['version']}", gates, one["created"][:10], one["estimator"], escape(one["reason"])))
    if rows:
        console.print()
        print_table(("model", "gates", "trained", "estimator", "because"), rows)


def _show_runs(runs: list[dict[str, Any]]) -> None:
    """Show runs, and below them the logs of those that failed."""
    rows = []
    for one in runs:
        failed = f", [red]failed[/] {escape(one['failed'])}" if one["failed"] else ""
        rows.append((one["created"][:16].replace("T", " "), one["run_id"], f"{one['steps']}{failed}"))
    if rows:
        console.print()
        print_table(("started", "run", "steps"), rows)
    for one in runs:
        for line in one["log"]:
            say(f"  [dim]{one['run_id']}: {escape(line)}[/]")


def _next(content: dict[str, Any]) -> Iterator[str]:
    """Yield the command that moves the environment on, if it is plain which."""
    state, versions = content["release"], content["versions"]
    champion = state["champion"]["version"] if state["champion"] else 0
    passed = [one["version"] for one in versions if one["accepted"] and one["model"] not in state["quarantined"]]
    if not versions:
        yield "mlops run training" if content["runs"] else "mlops run feature --set start=DAY --set end=DAY"
    elif state["phase"] == "proposed":
        yield "mlops approve"
    elif state["phase"] == "approved":
        yield "mlops deploy"
    elif state["challenger"]:
        yield "mlops release report"
    elif passed and passed[-1] > champion:
        yield f"mlops propose v{passed[-1]}"


@command(app, "mlops features", "mlops -e prod features --json")
def features(context: typer.Context, as_json: Json = False) -> None:
    """List the versions of feature views, and who uses each.

    Table maintenance deletes versions that nobody uses: 'mlops run maintenance'.
    """
    from pipelines.registry.definitions import names_in_use

    platform: Platform = context.obj
    stored = [name.removeprefix("features.") for name in platform.tables.names("features")]
    used = names_in_use(platform.problem, platform.models, platform.releases, platform.settings.now())
    views = _feature_views(platform, {**dict.fromkeys(stored, ()), **used})
    if as_json:
        print_json(views)
    elif views:
        print_pairs([tuple(f"[dim]{title}[/]" for title in _VIEW_TITLES), *_view_rows(views)])
    else:
        console.print("no features yet")
        suggest("mlops run feature --set start=DAY --set end=DAY")


@command(app, "mlops explain v3", "mlops explain v3 --json")
def explain(context: typer.Context, model: Version, as_json: Json = False) -> None:
    """Show why a model was trained, its gates and its history."""
    platform: Platform = context.obj
    digest, version = platform.models.resolve(model)
    manifest = platform.models.manifest(digest)
    moves = [entry for entry in platform.releases.entries() if entry.about(digest)]
    if as_json:
        gates = [gate.model_dump(mode="json") for gate in manifest.gates]
        history = [entry.model_dump(mode="json", exclude={"state"}) for entry in moves]
        print_json(
            {"model": digest, "version": version, "reason": manifest.reason, "gates": gates, "releases": history}
        )
        return
    console.print(f"[bold]v{version}[/] {manifest.estimator} [dim]{digest[:12]}[/]")
    print_pairs([("[dim]trained because[/]", escape(manifest.reason))])
    print_pairs([(f"{OK if gate.passed else NO} {gate.gate}", escape(gate.reason)) for gate in manifest.gates])
    if not manifest.gates:
        console.print("no gate judged it")
    rows = [(f"{one.at:%Y-%m-%d %H:%M}", one.action, escape(f"{one.summary} (by {one.who})")) for one in moves]
    print_pairs([(f"[dim]{when}[/]", action, reason) for when, action, reason in rows])


@command(app, "mlops lineage v3", "mlops lineage f5c5781b09c3b872c663dc46db165f5e --json")
def lineage(
    context: typer.Context,
    of: Annotated[str, typer.Argument(metavar="OF", help="A version, such as v3, or the 32 digits of a prediction.")],
    as_json: Json = False,
) -> None:
    """Trace a prediction or a model to its run, data and commit."""
    from pipelines.config import UserError
    from pipelines.reporting.lineage import of_model, of_prediction, tree

    platform: Platform = context.obj
    found = of_prediction(platform.models, platform.predictions, of) if len(of) == 32 else of_model(platform.models, of)
    if found is None:
        environment = platform.settings.environment
        raise UserError(
            f"the prediction log of {environment!r} has no prediction {of}; the app writes each within a second"
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.print(tree(found))


@command(app, "mlops releases", "mlops -e prod releases --json")
def releases_command(context: typer.Context, as_json: Json = False) -> None:
    """List the releases, and verify the signed release log."""
    from pipelines.reporting.history import releases

    platform: Platform = context.obj
    found = releases(platform.releases)
    for key in platform.releases.strays():
        say(f"ignored: {key} is in the folder of the release log and is none of its entries", errors)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    if not found:
        console.print("no release yet")
        suggest("mlops propose v1")
        return
    rows = [
        (f"{one.proposed:%Y-%m-%d}", f"v{one.version}", one.strategy, one.phase, one.by, escape(one.reason))
        for one in found
    ]
    print_table(("proposed", "model", "strategy", "stands", "by", "what happened"), rows)


@command(app, "mlops compare v1 v3", "mlops compare v1 v3 --json")
def compare(
    context: typer.Context,
    first: Version,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="The version or digest to compare with.")],
    as_json: Json = False,
) -> None:
    """Compare two models: metrics, settings, features, data and code."""
    from pipelines.reporting.comparison import differences, metrics

    platform: Platform = context.obj
    found = [platform.models.resolve(reference) for reference in (first, second)]
    one, other = (platform.models.manifest(digest) for digest, _ in found)
    if as_json:
        print_json({"metrics": metrics(one, other), "differences": differences(one, other)})
        return
    names = tuple(f"[bold]v{version}[/]" for _, version in found)
    measured = metrics(one, other).items()
    print_pairs(
        [("", *names), *((name, *("" if v is None else f"{v:.4f}" for v in values)) for name, values in measured)]
    )
    console.print("[dim]each on its own test period; 'mlops release report' compares on traffic[/]\n")
    for name, texts in differences(one, other).items():
        say(f"[bold]{escape(name)}[/]")
        print_pairs([(f"  {version}", escape(text)) for version, text in zip(names, texts, strict=True)])


def _status(platform: "Platform") -> dict[str, Any]:
    from pipelines.contracts import keys
    from pipelines.orchestration.runs import RunStore
    from pipelines.registry.definitions import names_pinned
    from pipelines.serving.instances import alive, read_reports

    environment = platform.settings.environment
    versions = []
    for version, digest in platform.models.latest_versions(_LATEST):
        manifest = platform.models.manifest(digest)
        chosen = manifest.model_dump(mode="json", include={"created", "estimator", "reason", "run_id"})
        judged = {"accepted": manifest.accepted, "judged": bool(manifest.gates)}
        versions.append({"version": version, "model": digest, **judged, **chosen})
    decided = platform.objects.first(keys.decisions(environment), _LATEST)
    decisions = [_read(platform, key) for key in reversed(decided)]
    return {
        "environment": environment,
        "release": platform.releases.state().model_dump(mode="json"),
        "release_log_fault": platform.releases.snapshot_fault,
        "wish": _wish(platform),
        "instances": [one.model_dump(mode="json") for one in alive(read_reports(platform.objects, environment))],
        "versions": versions,
        "feature_views": _feature_views(
            platform,
            names_pinned(platform.problem.config, platform.models, platform.releases, platform.settings.now()),
        ),
        "runs": [_run(platform, summary) for summary in reversed([*RunStore(platform.objects).latest(_LATEST)])],
        "endpoint": _endpoint(platform),
        "decisions": decisions,
    }


def _feature_views(platform: "Platform", used: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """Return versions of feature views: who uses each, and up to which moment it is materialised."""
    return [
        {"name": name, "used_by": by, "until": until and until.isoformat()}
        for name, by in sorted(used.items())
        for until in [platform.online.as_of(name)]
    ]


def _view_rows(views: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for view in views:
        until = view["until"][:16].replace("T", " ") if view["until"] else "[red]never[/]"
        yield until, view["name"], escape(", ".join(view["used_by"]) or "nobody")


def _run(platform: "Platform", summary: "RunSummary") -> dict[str, Any]:
    """Return a run as it stands; of an unfinished one elsewhere also its status there, and the end of its log."""
    from pipelines.bootstrap import pipeline

    done, total = len(summary.done), len(summary.steps)
    told = {**summary.model_dump(mode="json"), "done": done, "steps": f"{done} of {total or '?'} steps done", "log": ()}
    executions = platform.profile.executions
    if executions and done < total and executions.knows(summary.run_id):
        outcome = executions.outcome(platform.runner, pipeline(summary.pipeline), summary.run_id)
        told["steps"] += f", {outcome.status} on {executions.place}"
        if outcome.status == "failed":
            told |= {"failed": outcome.reason, "log": outcome.log[-_LINES:]}
    return told


def _endpoint(platform: "Platform") -> dict[str, Any] | None:
    """Return how the endpoint on SageMaker is, where there is one."""
    endpoint = platform.aws.endpoint if platform.settings.profile == "aws" else None
    return endpoint.health()._asdict() if endpoint else None


def _read(platform: "Platform", key: str) -> dict[str, Any]:
    return json.loads(platform.objects.read(key) or b"{}")  # type: ignore[no-any-return]

"""A proposal: the release file that brings a model into an environment, and what it would change there."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.config import (
    AbTest,
    AllAtOnce,
    BlueGreen,
    CanaryStrategy,
    ProblemConfig,
    Refused,
    ReleaseFile,
    ReleaseState,
    Shadow,
    Strategy,
    StrictModel,
    UserError,
    Variant,
    WrongUsage,
    format_duration,
    nearest,
)
from pipelines.config.strict import explain
from pipelines.registry.model_store import ModelStore

_STRATEGIES: Mapping[str, type[StrictModel]] = {
    "all-at-once": AllAtOnce,
    "blue-green": BlueGreen,
    "canary": CanaryStrategy,
    "shadow": Shadow,
    "ab": AbTest,
}


def strategy(config: ProblemConfig, kind: str, given: Mapping[str, Any]) -> Strategy:
    """Return a strategy of this kind, with the problem's defaults for what is not given.

    Raises:
        UserError: for an unknown kind, or settings that do not fit it.
    """
    if kind not in _STRATEGIES:
        raise WrongUsage(f"there is no strategy {kind!r}; {nearest(kind, _STRATEGIES)}")
    canary = config.canary
    usual: Mapping[str, Mapping[str, Any]] = {
        "blue-green": {"bake": canary.bake},
        "canary": {"steps": canary.steps, "bake": canary.bake},
        "shadow": {"duration": canary.bake},
        "ab": {"horizon": 10 * canary.bake},
    }
    settings = {**usual.get(kind, {}), **given}
    try:
        chosen: Strategy = _STRATEGIES[kind].model_validate(settings, strict=False)  # type: ignore[assignment]
    except ValidationError as error:
        raise WrongUsage("\n".join(f"--set {line}" for line in explain(error, _STRATEGIES[kind]))) from error
    if isinstance(chosen, AbTest):
        _check_experiment(config, chosen)
    return chosen


def _check_experiment(config: ProblemConfig, chosen: AbTest) -> None:
    fields = {name: column for name, column in config.request_columns.items() if not column.personal}
    if chosen.sticky_by is not None and chosen.sticky_by not in fields:
        raise UserError(f"sticky_by: a request has no field {chosen.sticky_by!r}; {nearest(chosen.sticky_by, fields)}")
    if chosen.horizon <= config.label.delay:
        delay = format_duration(config.label.delay)
        raise UserError(f"horizon: labels come only after {delay}, so an A/B test must last longer")


def propose_model(
    models: ModelStore, state: ReleaseState, released: Variant, how: Strategy, override: str | None = None
) -> ReleaseFile:
    """Return the release file that brings ``released`` in beside the present champion; alone where there is none.

    Raises:
        Refused: when it is the champion.
    """
    manifest = models.manifest(released.model)
    if state.champion and state.champion.model == released.model and not isinstance(how, AllAtOnce):
        raise Refused(f"v{released.version} is the champion already, so it cannot be released beside itself")
    alone = state.champion is None or isinstance(how, AllAtOnce)
    assert state.champion or alone
    return ReleaseFile(
        champion=released if alone or state.champion is None else state.champion,
        challenger=None if alone else released,
        feature_views=manifest.feature_pins,
        request_schema=manifest.request_schema_sha256,
        override=override,
        strategy=AllAtOnce() if alone else how,
    )


def standing(models: ModelStore, state: ReleaseState) -> ReleaseFile:
    """Return the release file that says what serves already: merging it changes nothing."""
    assert state.champion, "something was released"
    manifest = models.manifest(state.champion.model)
    return ReleaseFile(
        champion=state.champion,
        feature_views=manifest.feature_pins,
        request_schema=manifest.request_schema_sha256,
        strategy=AllAtOnce(),
    )


def changes(
    models: ModelStore, config: ProblemConfig, state: ReleaseState, release: ReleaseFile
) -> Iterator[tuple[str, str]]:
    """Yield, as rows of a name and a text, what a release would change and what is known of its model."""
    manifest, released = models.manifest(release.released.model), release.released
    yield "champion now", f"v{state.champion.version}" if state.champion else "none"
    yield "brings in", f"v{released.version} ({manifest.estimator}, {released.model[:12]}): {manifest.reason}"
    yield "traffic", _described(release.strategy)
    metric = config.gates.champion_comparison.metric
    quality = f"{manifest.metrics['test'][metric]:.4f}" if metric in manifest.metrics.get("test", {}) else "unknown"
    beside = manifest.metrics.get("champion", {}).get(metric)
    yield metric, quality + (f", the champion's {beside:.4f}" if beside is not None else "")
    failed = [gate.gate for gate in manifest.gates if not gate.passed]
    told = "passed" if manifest.accepted else f"refused by {', '.join(failed)}" if failed else "never judged"
    yield "gates", told
    if release.override:
        yield "override", release.override


def _described(how: Strategy) -> str:
    match how:
        case CanaryStrategy(steps=steps, bake=bake):
            shares = ", ".join(f"{step:.0%}" for step in steps)
            return f"{shares}, each for {format_duration(bake)} and judged; then all"
        case BlueGreen(bake=bake):
            return f"all, with the champion asked beside it for {format_duration(bake)} and ready to return"
        case Shadow(duration=duration):
            return f"none: asked beside the champion for {format_duration(duration)}, never answers"
        case AbTest(share=share, sticky_by=field, horizon=horizon):
            sticky = f", the same {field} always the same variant" if field else ""
            return f"{share:.0%}{sticky}, until one is shown to cost less, at most {format_duration(horizon)}"
    return "all at once, not judged"

"""What people read: the text of a promotion's pull request, of a refusal, of an incident.

Figures and lineage are Mermaid, which GitHub draws: no picture has to lie anywhere.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from jinja2 import Environment, StrictUndefined

from pipelines.config import Manifest, ProblemConfig, ReleaseEntry, ReleaseFile

_PROMOTION = """\
**v{{ version }}** would come into `{{ environment }}`. The merge of this pull request, reviewed by an owner of \
`releases/`, is the approval; what follows it happens by itself.

| | |
|---|---|
{% for name, text in changes -%}
| {{ name }} | {{ text }} |
{% endfor %}
The strategy may be edited here, in `releases/{{ environment }}.toml`; closing this declines the model.

## Comparison with the champion
{% if champion_version %}
{{ "Both on the same rows, those of the candidate's test period" if same_rows else \
"Each on the test period of its own training: another champion was there when the candidate was judged" }}. \
The gate: {{ compared or "it did not run" }}.

| metric | v{{ version }} | champion v{{ champion_version }} |
|---|---:|---:|
{% for name, values in metrics -%}
| {{ name.replace("_", " ") }} | {{ number(values[0]) }} | {{ number(values[1]) }} |
{% endfor %}
{%- else %}
There is no champion in `{{ environment }}` yet.
{% endif %}
## Plots

```mermaid
xychart-beta
    title "{{ metric }} on the test period, by version"
    x-axis [{{ history | map(attribute=0) | join(", ") }}]
    y-axis "{{ metric }}"
    bar [{{ history | map(attribute=1) | join(", ") }}]
```
{% if slices %}
```mermaid
xychart-beta
    title "{{ metric }} of v{{ version }}, by slice"
    x-axis [{{ slices | map(attribute=0) | join(", ") }}]
    y-axis "{{ metric }}"
    bar [{{ slices | map(attribute=1) | join(", ") }}]
```
{% endif %}
## Lineage

```mermaid
flowchart LR
    model["v{{ version }} {{ manifest.estimator }}<br>{{ manifest.sha256()[:12] }}"]
    model --> run["run {{ manifest.run_id }}"]
    run --> commit["commit {{ manifest.code.commit[:12] }}{{ " with changes" if manifest.code.modified }}"]
    {%- for table, snapshot in manifest.data.items() %}
    run --> data{{ loop.index }}["{{ table }}<br>snapshot {{ snapshot }}"]
    {%- endfor %}
    {%- for view, pin in manifest.feature_pins.items() %}
    model --> view{{ loop.index }}["{{ view }}<br>definition {{ pin }}"]
    {%- endfor %}
```

## Cost

The training's steps took {{ "%.0f" | format(seconds) }} s\
{{ ", about %.2g %s at %s an hour" | format(seconds / 3600 * price, currency, price) if price }}.

<details><summary>Model card</summary>

{{ card or "The card is missing." }}

</details>

<!-- model {{ manifest.sha256() }} -->
"""

_REFUSAL = """\
**v{{ version }}** (`{{ manifest.sha256()[:12] }}`, {{ manifest.estimator }}), trained because: {{ manifest.reason }}. \
It is not proposed for `{{ environment }}`:

{{ reason }}

| gate | verdict | reason |
|---|---|---|
{% for gate in manifest.gates -%}
| {{ gate.gate.replace("_", " ") }} | {{ "passed" if gate.passed else "**refused**" }} | {{ gate.reason }} |
{% endfor %}
The champion goes on serving. `mlops explain v{{ version }}` shows the numbers; this issue closes when a candidate is \
proposed.
"""

_INCIDENT = """\
A release was taken out of `{{ environment }}`: {{ entry.summary }}.

| when (UTC) | what | by | |
|---|---|---|---|
{% for one in entries -%}
| {{ "{:%Y-%m-%d %H:%M}".format(one.at) }} | {{ one.action }} | {{ one.who }} | {{ one.summary }} |
{% endfor %}
v{{ entry.state.champion.version }} serves. What was taken out is quarantined in `{{ environment }}` until somebody \
proposes it anew; a pull request from `revert/{{ environment }}` makes the release file say what serves.

- `mlops -e {{ environment }} release report` compares what both answered.
- Look for the cause, write down here what it was, and close this.
"""


def promotion(
    config: ProblemConfig,
    environment: str,
    release: ReleaseFile,
    changes: Iterable[tuple[str, str]],
    versions: dict[int, Manifest],
    seconds: float,
    card: str,
) -> str:
    """Return the text of a promotion's pull request.

    Args:
        config: the problem as problem.toml states it.
        environment: that the model is to come into.
        release: the file that is proposed.
        changes: the rows of :func:`pipelines.deployment.proposal.changes`.
        versions: the manifests of the latest versions, the proposed one and the champion's among them.
        seconds: that the training's steps took.
        card: the model card.
    """
    version = release.released.version
    manifest = versions[version]
    metric = config.gates.champion_comparison.metric
    champion_version = release.champion.version if release.challenger else None
    same_rows = manifest.champion_model == release.champion.model
    beside = manifest.metrics["champion"] if same_rows else versions[release.champion.version].metrics["test"]
    gate = next((gate.reason for gate in manifest.gates if gate.gate == "champion_comparison"), "")
    history = [(f"v{number}", one.metrics["test"].get(metric)) for number, one in sorted(versions.items())]
    return _filled(
        _PROMOTION,
        version=version,
        environment=environment,
        changes=list(changes),
        champion_version=champion_version,
        compared=gate,
        same_rows=same_rows,
        metrics=[(name, (value, beside.get(name))) for name, value in manifest.metrics["test"].items()],
        metric=metric.replace("_", " "),
        history=[(name, f"{value:.4f}") for name, value in history if value is not None],
        slices=[(f'"{name}"', f"{value:.4f}") for name, value in manifest.metrics.get("slices", {}).items()],
        manifest=manifest,
        seconds=seconds,
        price=config.training.budget.price_per_hour,
        currency=config.business.currency,
        card=card,
        number=lambda value: "" if value is None else f"{value:.4f}",
    )


def refusal(environment: str, version: int, manifest: Manifest, reason: str) -> str:
    """Return the text of the issue that says why a candidate is not proposed."""
    return _filled(_REFUSAL, environment=environment, version=version, manifest=manifest, reason=reason)


def incident(environment: str, entries: Sequence[ReleaseEntry]) -> str:
    """Return the text of the issue on a rollback: the release's transitions, of which the last is the rollback."""
    return _filled(_INCIDENT, environment=environment, entries=entries, entry=entries[-1])


def verdict(entries: Sequence[ReleaseEntry]) -> str:
    """Return what became of a release, for a comment on its pull request."""
    last, took = entries[-1], _took(entries[0].at, entries[-1].at)
    return f"**{last.action}** on {last.at:%Y-%m-%d %H:%M} UTC, {took} after the approval: {last.summary}."


def _took(start: datetime, end: datetime) -> str:
    hours = (end - start).total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"


def _filled(template: str, **given: object) -> str:
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  (Markdown, not HTML)
    return environment.from_string(template).render(**given)

"""The model card: what a person who approves a release needs to know, written from the manifest alone.

Follows the sections of Mitchell et al. (2019), Model Cards for Model Reporting, that can be filled in truthfully.
"""

from jinja2 import Environment, StrictUndefined

from pipelines.config import METRICS, Manifest, ProblemConfig

_CARD = """\
# {{ config.title }}: {{ manifest.estimator.replace("_", " ") }}

**{{ "Accepted: every gate passed." if manifest.accepted else "Refused: see the gates below." }}**

## Intended use

{{ config.business.goal }}

Answers for it: {{ config.business.owner }}. Predicts: {{ config.label.description }}

## Gates

| gate | verdict | reason |
|---|---|---|
{% for gate in manifest.gates -%}
| {{ gate.gate.replace("_", " ") }} | {{ "passed" if gate.passed else "**refused**" }} | {{ gate.reason }} |
{% endfor %}
## Quality on the test period

{{ day(manifest.periods.test.start) }} to {{ day(manifest.periods.test.end) }}, \
{{ "{:,}".format(manifest.periods.test.rows) }} labelled requests.

| metric | better | this model |{{ " champion |" if manifest.metrics.champion }}
|---|---|---:|{{ "---:|" if manifest.metrics.champion }}
{% for name, value in manifest.metrics.test.items() -%}
| {{ name.replace("_", " ") }} | {{ directions.get(name, "near 0") }} | {{ "%.4f" | format(value) }} |\
{{ " %.4f |" | format(manifest.metrics.champion[name]) if manifest.metrics.champion }}
{% endfor %}
{%- if manifest.metrics.slices %}
### {{ config.gates.champion_comparison.metric.replace("_", " ") }} by slice

| slice | value |
|---|---:|
{% for name, value in manifest.metrics.slices.items() -%}
| {{ name }} | {{ "%.4f" | format(value) }} |
{% endfor %}
{%- endif %}
## Data and training

- Trained on {{ "{:,}".format(manifest.periods.train.rows) }} requests from {{ day(manifest.periods.train.start) }} \
to {{ day(manifest.periods.train.end) }}, because: {{ manifest.reason }}.
- Estimators compared on {{ "{:,}".format(manifest.periods.validation.rows) }} requests of the validation period: \
{{ compared }}.
- Settings: {{ settings or "the estimator's defaults" }}.
- Data version: {{ data }}.
- Code: commit `{{ manifest.code.commit[:12] }}`{{ ", with uncommitted changes" if manifest.code.modified }}; run \
`{{ manifest.run_id }}`.

## Limits

- Valid for requests like those of the training period; the monitors watch for others.
- Labels come up to {{ delay }} after a request; quality is known only then.
{%- if personal %}
- Personal fields ({{ personal }}) are never features and never logged.
{%- endif %}
"""


def card(manifest: Manifest, config: ProblemConfig) -> str:
    """Return the model card as Markdown."""
    metric = config.gates.champion_comparison.metric
    validation = {
        name.removeprefix("validation "): scores[metric]
        for name, scores in manifest.metrics.items()
        if name.startswith("validation ")
    }
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(_CARD)  # noqa: S701  (Markdown, not HTML)
    return template.render(
        manifest=manifest,
        config=config,
        directions={name: f"{way}" for name, way in METRICS[config.task].items()},
        compared=", ".join(f"{name} {metric} {value:.4f}" for name, value in validation.items()),
        data=", ".join(f"{table} `{snapshot}`" for table, snapshot in manifest.data.items()),
        settings=", ".join(f"{name} = {value}" for name, value in manifest.settings.items()),
        personal=", ".join(name for name, column in manifest.request_schema.items() if column.personal),
        delay=config.model_dump(mode="json")["label"]["delay"],
        day=lambda moment: f"{moment:%Y-%m-%d}",
    )

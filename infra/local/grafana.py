"""Dashboards as code: what users notice first, then the pipelines' runs, then the model's metrics."""

from typing import Any, NamedTuple

import yaml

from infra.local.rules import bounds, read
from infra.names import Names
from pipelines.contracts.rendered import Rendered

PORT = 3000
DASHBOARDS = "/var/lib/dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
ENVIRON = {
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_AUTH_ANONYMOUS_ENABLED": "false",
    "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{DASHBOARDS}/overview.json",
    "GF_PATHS_DATA": "/var/lib/grafana",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_USERS_ALLOW_SIGN_UP": "false",
}


class Graph(NamedTuple):
    """A graph.

    Attributes:
        title: of the panel.
        lines: expression by legend.
        unit: of the values, as Grafana calls it.
        bound: a line to compare with; None for none.
    """

    title: str
    lines: dict[str, str]
    unit: str = "short"
    bound: float | None = None


GRAPHS = (
    Graph(
        "Predictions a second",
        {"{{variant}} v{{version}}": "sum by (variant, version) (rate(predictions_total{}[1m]))"},
    ),
    Graph(
        "Seconds to answer",
        {
            "half": "histogram_quantile(0.5, sum by (le) (rate(invocation_seconds_bucket{}[1m])))",
            "99 of 100": "histogram_quantile(0.99, sum by (le) (rate(invocation_seconds_bucket{}[1m])))",
        },
        "s",
        1,
    ),
    Graph("Refused requests a second", {"{{status}}": "sum by (status) (rate(refused_requests_total{}[1m]))"}),
    Graph("Pods that answer", {"pods": 'sum(up{job="serving"})'}),
    Graph("Release that is served", {"oldest": "min(release_number{})", "latest": "max(release_number{})"}),
    Graph("Rows that the challenger failed, a second", {"rows": "sum(rate(challenger_errors_total{}[1m]))"}),
    Graph(
        "Feature values that were missing, a second",
        {"{{feature}}": "topk(5, sum by (feature) (rate(missing_features_total{}[5m])))"},
    ),
    Graph(
        "Rows without a view's features, a second",
        {"{{view}} {{kind}}": "sum by (view, kind) (rate(absent_view_rows_total{}[5m]))"},
    ),
    Graph("Predictions not yet in the log", {"rows": "sum(prediction_log_pending{})"}),
    Graph("Releases that could not be loaded", {"releases": "sum(refused_releases_total{})"}),
    Graph("Messages in the queue", {"{{state}}": "max by (state) (queue_messages{})"}),
    Graph("Ticks of the release a minute", {"{{outcome}}": "60 * sum by (outcome) (rate(release_ticks_total{}[5m]))"}),
    Graph("Pipelines whose latest run failed", {"{{pipeline}}": "max by (pipeline) (run_failed{})"}),
    Graph("Quality of the champion", {"{{metric}}": "max by (metric) (model_quality{})"}),
    Graph("Drift (PSI), the five largest", {"{{feature}}": "topk(5, max by (feature) (feature_drift{}))"}),
    Graph(
        "Labels",
        {
            "share of those due": "max(label_coverage{})",
            "age of the look, days": "(time() - max(monitored_timestamp_seconds{})) / 86400",
        },
    ),
)  # fmt: skip


def sources() -> str:
    """Return the data sources."""
    prometheus = {"name": "Prometheus", **SOURCE, "access": "proxy", "url": "http://prometheus:9090", "isDefault": True}
    return _yaml({"apiVersion": 1, "datasources": [prometheus]})


def providers() -> str:
    """Return the folder of the dashboards."""
    files = {"name": "files", "type": "file", "allowUiUpdates": False, "options": {"path": DASHBOARDS}}
    return _yaml({"apiVersion": 1, "providers": [files]})


def dashboards(names: Names, rendered: Rendered) -> dict[str, dict[str, Any]]:
    """Return the dashboards by name: an overview, and one of every bound with its metric."""
    held = [
        Graph(bound.name, {"now": read(bound, rendered)}, bound=bound.threshold)
        for found in bounds(names, rendered).values()
        for bound in found
    ]
    return {
        "overview": _dashboard(names, "overview", GRAPHS),
        "alarms": _dashboard(names, "alarms", tuple(held)),
    }


def _dashboard(names: Names, name: str, graphs: tuple[Graph, ...]) -> dict[str, Any]:
    return {
        "uid": f"{names.prefix}-{name}"[:40],
        "title": f"{names.prefix} {name}",
        "tags": [names.project],
        "timezone": "utc",
        "refresh": "30s",
        "schemaVersion": 41,
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, graph) for number, graph in enumerate(graphs)],
    }


def _panel(number: int, graph: Graph) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if graph.bound is not None:
        steps.append({"color": "red", "value": graph.bound})
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": graph.title,
        "datasource": SOURCE,
        "gridPos": {"x": number % 3 * 8, "y": number // 3 * 8, "w": 8, "h": 8},
        "fieldConfig": {
            "defaults": {
                "unit": graph.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "line" if graph.bound is not None else "off"}},
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for at, (legend, expression) in enumerate(graph.lines.items())
        ],
    }


def _yaml(document: object) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text

"""The configuration of Prometheus: targets, interval and rules."""

import yaml

from infra.local import alertmanager
from infra.local.cluster import host
from infra.local.components import serving, watch
from infra.local.rules import rules
from infra.names import Names
from pipelines.contracts.rendered import Rendered

PORT = 9090
SECONDS = 15


def files(names: Names, rendered: Rendered) -> dict[str, str]:
    """Return the configuration by file.

    Prometheus finds pods by the DNS name of a headless service, so it needs no access to the Kubernetes API.
    """
    every_pod = {"names": [host(names, serving.PODS)], "type": "A", "port": serving.PORT, "refresh_interval": "15s"}
    document = {
        "global": {"scrape_interval": f"{SECONDS}s", "evaluation_interval": f"{SECONDS}s"},
        "rule_files": ["/etc/prometheus/rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"alertmanager:{alertmanager.PORT}"]}]}],
        },
        "scrape_configs": [
            {"job_name": "serving", "dns_sd_configs": [every_pod]},
            {"job_name": "watch", "static_configs": [{"targets": [f"watch:{watch.PORT}"]}]},
            {"job_name": "prometheus", "static_configs": [{"targets": [f"localhost:{PORT}"]}]},
            {"job_name": "alertmanager", "static_configs": [{"targets": [f"alertmanager:{alertmanager.PORT}"]}]},
        ],
    }
    return {"prometheus.yml": _yaml(document), "rules.yml": _yaml(rules(names, rendered))}


def _yaml(document: object) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, width=120)
    return text

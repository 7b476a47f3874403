"""Alertmanager: shows alarms to people on its page, and sends those that it can handle to the watch.

The watch turns an alarm that a new model could help with into an event, and judges the live release at once when the
serving app has an alarm.
"""

from typing import Any

import yaml

PORT = 9093
WATCH = "http://watch:8000/alerts"


def files(token_folder: str, watch: str = WATCH) -> dict[str, str]:
    """Return the configuration by file; the token by which the watch knows the sender is in a folder of its own."""
    text: str = yaml.safe_dump(document(f"{token_folder}/token", watch), sort_keys=False)
    return {"alertmanager.yml": text}


def document(token_file: str, watch: str) -> dict[str, Any]:
    """Return the configuration."""
    call = {
        "url": watch,
        "send_resolved": False,
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": token_file}},
    }
    return {
        "route": {
            "receiver": "people",
            "group_by": ["alertname"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [
                {"receiver": "watch", "matchers": ['retrain="true"']},
                {"receiver": "watch", "matchers": ['alertname=~"endpoint-.*"']},
            ],
        },
        "receivers": [
            {"name": "people"},  # add e-mail or chat here; the page lists them in any case
            {"name": "watch", "webhook_configs": [call]},
        ],
    }

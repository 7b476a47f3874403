"""New secrets of the local environment."""

import os
import secrets


def fresh() -> dict[str, str]:
    """Return new secrets; an emulator takes any credentials, and those of this machine's environment are at hand."""
    return {
        "access_key_id": os.environ.get("AWS_ACCESS_KEY_ID", "local"),
        "secret_access_key": os.environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        "alerts_token": secrets.token_urlsafe(24),
        "grafana_password": secrets.token_urlsafe(12),
    }

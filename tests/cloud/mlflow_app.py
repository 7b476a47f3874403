"""Stands for a managed MLflow App: MLflow's own server behind what refuses each request that is not signed and addressed.

``python -m tests.cloud.mlflow_app PORT HOME``: the database is ``HOME/mlflow.db``; ``HOME/down`` makes it answer 503.
``GET /seen`` returns the heads of the requests that came.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from werkzeug.serving import run_simple


class Gate:
    """WSGI middleware: what SageMaker checks before MLflow sees a request, as far as one can without keys."""

    def __init__(self, app: Any, home: Path) -> None:
        self.app, self.home, self.seen = app, home, []

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        if environ["PATH_INFO"] == "/seen":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.seen).encode()]
        heads = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", "") for name in HEADS}
        self.seen.append(heads)
        status = "503 Down" if (self.home / "down").exists() else None if signed(heads) else "403 Forbidden"
        if status:
            start(status, [("Content-Type", "application/json")])
            return [b'{"error_code": "PERMISSION_DENIED", "message": "not now, or not you"}']
        return self.app(environ, start)


HEADS = ("authorization", "x-sm-mlflow-app-arn", "x-amz-date", "x-amz-content-sha256")


def signed(heads: dict[str, str]) -> bool:
    scope = "/eu-west-1/sagemaker/aws4_request"
    return heads["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/") and scope in heads["authorization"]


if __name__ == "__main__":
    port, home = int(sys.argv[1]), Path(sys.argv[2])
    database = f"sqlite:///{home}/mlflow.db"
    os.environ |= {"_MLFLOW_SERVER_FILE_STORE": database, "_MLFLOW_SERVER_REGISTRY_STORE": database}
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = (home / "artifacts").as_uri()
    from mlflow.server import app

    app.test_client().get("/api/2.0/mlflow/experiments/search?max_results=1")  # it opens its database for the first
    run_simple("127.0.0.1", port, Gate(app, home), threaded=True)

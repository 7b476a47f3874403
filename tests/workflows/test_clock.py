"""One job for all environments: the real script, with programs that note what they are called with."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.workflows.documents import GITHUB

PROGRAM = """\
#!/bin/sh
echo "$(basename "$0") $* | $RATCHET_ENVIRONMENT $RATCHET_PROFILE $AWS_ROLE_ARN $AWS_REGION $AWS_DEFAULT_REGION $PULUMI_BACKEND_URL \
$(cat "$AWS_WEB_IDENTITY_TOKEN_FILE" 2>/dev/null)" >> "$NOTED"
test "$RATCHET_ENVIRONMENT" != broken
"""
VARIABLES = {
    "AWS_CLOCK_ROLE_PROD": "arn:clock", "AWS_PLAN_ROLE_PROD": "arn:plan", "AWS_REGION_PROD": "eu-west-1",
    "PULUMI_BACKEND_URL_PROD": "s3://state",
}  # fmt: skip


@pytest.fixture
def asked():
    """A server that hands out tokens, and whom it gave them."""
    given = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            given.append((self.headers["Authorization"], parse_qs(urlsplit(self.path).query)["audience"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"value": f"token-{len(given)}"}).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given.append(f"http://127.0.0.1:{server.server_port}/token?api-version=2.0")
        yield given
        server.shutdown()


@pytest.fixture
def clock(tmp_path, asked):
    """Do a duty, and return the exit code and what was called."""
    for name in ("mlops", "make"):
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)
    url = asked.pop()

    def call(duty, environments, variables):
        environ = {
            **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTED": str(tmp_path / "noted"),
            "ENVIRONMENTS": json.dumps(environments), "VARIABLES": json.dumps(variables),
            "ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
        }  # fmt: skip
        done = subprocess.run([sys.executable, GITHUB / "clock.py", duty], env=environ, check=False)
        return done.returncode, [" ".join(line.split()) for line in (tmp_path / "noted").read_text().splitlines()]

    return call


def test_each_environment_has_its_turn_in_the_order_of_promotion(clock, asked):
    assert clock("follow", ["dev", "prod"], {}) == (
        0,
        [
            f"mlops {command} | {environment}"
            for environment in ("dev", "prod")
            for command in ("release tick", "github follow", "github propose")
        ],
    )
    assert asked == [], "no role, no token"


def test_on_aws_each_command_takes_the_role_of_its_environment(clock, asked):
    told = "prod aws arn:clock eu-west-1 eu-west-1 s3://state"
    assert clock("follow", ["prod"], VARIABLES) == (
        0,
        [f"mlops github follow | {told} token-1", f"mlops github propose | {told} token-2"],
    )
    assert asked == [("Bearer of-the-job", ["sts.amazonaws.com"])] * 2


def test_drift_is_looked_for_with_the_role_that_changes_nothing(clock):
    code, noted = clock("drift", ["prod"], VARIABLES)
    assert code == 0
    assert noted == [
        "make --no-print-directory infra-drift-issue | prod aws arn:plan eu-west-1 eu-west-1 s3://state token-1"
    ]


def test_what_fails_in_one_environment_keeps_no_other_from_its_turn(clock):
    code, noted = clock("follow", ["broken", "prod"], {})
    assert (code, len(noted)) == (1, 6)


def test_the_report_is_written_where_the_predictions_are(clock):
    _, noted = clock("publish", ["dev", "prod"], VARIABLES)
    assert [line.partition(" |")[0] for line in noted] == [
        "mlops monitor --exit-zero",
        "mlops workflow publish site/dev",
        "mlops workflow publish --no-report site/prod",
    ]

"""A typed client that a generator makes of the app's contract: what another team writes with it, checked and run."""

import json
import shutil
import subprocess
import textwrap

import pytest

from tests.e2e.load import ask, logged_ids, until

pytestmark = pytest.mark.slow  # PyPI is asked for the generator

ALONE = ("uv", "run", "--no-project", "--quiet")
CALLER = """
    import json
    import sys
    from datetime import UTC, datetime

    from parcels_client import AuthenticatedClient
    from parcels_client.api.default import predict
    from parcels_client.models import Prediction, Predictions, Problem, Request, RequestDepot, Requests

    url, token = sys.argv[1:]
    client = AuthenticatedClient(base_url=url, token=token)
    asked = datetime(2024, 2, 25, tzinfo=UTC)
    row = Request(parcel_id="one", asked_at=asked, depot=RequestDepot.LYON, weight=3.5)
    one = predict.sync(client=client, body=row)
    assert isinstance(one, Prediction)
    several = predict.sync(client=client, body=Requests(instances=[row, row]), explain=True)
    assert isinstance(several, Predictions)
    heavy = predict.sync(client=client, body=Request("two", asked, RequestDepot.LYON, weight=201.0))
    assert isinstance(heavy, Problem)
    stranger = predict.sync(client=AuthenticatedClient(base_url=url, token="nonsense"), body=row)
    assert isinstance(stranger, Problem)
    ids = [one.prediction_id, *(each.prediction_id for each in several.predictions)]
    print(json.dumps({"ids": ids, "heavy": heavy.detail, "stranger": stranger.status}))
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not here, which fetches the generator")
def test_a_generated_client_is_typed_and_gets_what_the_app_answers(serving, tmp_path):
    callers = tmp_path / "callers.toml"
    token = serving().mlops("token", "client", "--callers", str(callers)).out.strip()
    served = serving(callers=callers, flush_seconds=0.1)
    (tmp_path / "openapi.json").write_bytes(ask(served, "/openapi.json").data)
    made = ("--output-path", "parcels_client", "--meta", "none")
    generate = ("openapi-python-client", "generate", "--path", "openapi.json", *made)
    run("uvx", "--quiet", "--from", "openapi-python-client==0.29.1", *generate, cwd=tmp_path)
    (tmp_path / "caller.py").write_text(textwrap.dedent(CALLER))
    packages = ("--with", "httpx", "--with", "attrs", "--with", "python-dateutil")
    run(*ALONE, *packages, "--with", "mypy", "mypy", "--strict", "--follow-imports=silent", "caller.py", cwd=tmp_path)
    said = json.loads(run(*ALONE, *packages, "python", "caller.py", served.url, token, cwd=tmp_path))
    until(lambda: logged_ids(served) == set(said["ids"]))
    assert "200" in said["heavy"]
    assert said["stranger"] == 401

"""kill -9 of a batch inference, between chunks and in the middle: the next run goes on and ends as if nothing was."""

import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.conftest import NOW, PROBLEMS, ROOT, unmeasured
from tests.e2e.killing_batch import CHUNK_ROWS, CHUNKS
from tests.problems import parcels

ROWS = CHUNK_ROWS * CHUNKS - 10

pytestmark = pytest.mark.parametrize(
    "learned", [PROBLEMS[0], pytest.param(PROBLEMS[1], marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    path = tmp_path_factory.mktemp("requests") / "requests.parquet"
    pq.write_table(parcels.read("parcels", parcels.START, NOW).slice(3000, ROWS), path)
    return path


def run(platform, given, output, when):
    settings = platform.settings
    command = [sys.executable, "-m", "tests.e2e.killing_batch", settings.home, settings.problem, given, output, when]
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def whole(learned, given, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out.parquet"
    done = run(learned, given, output, "never")
    assert done.stdout == f"{ROWS} 0", done.stderr
    return pq.read_table(output)


@pytest.mark.parametrize(
    ("when", "resumed"),
    [("boundary", 2), ("features", 2), ("writing", 2), ("joining", CHUNKS)],
)
def test_a_killed_run_goes_on_after_its_last_whole_chunk(learned, given, whole, tmp_path, when, resumed):
    output = tmp_path / "out.parquet"
    killed = run(learned, given, output, when)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()
    done = run(learned, given, output, "never")
    assert done.stdout == f"{ROWS} {min(resumed * CHUNK_ROWS, ROWS)}", done.stderr
    assert pq.read_table(output).equals(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_what_was_done_of_another_input_is_not_taken_over(learned, given, whole, tmp_path):
    output, other = tmp_path / "out.parquet", tmp_path / "other.parquet"
    pq.write_table(pq.read_table(given).slice(1), other)
    assert run(learned, other, output, "boundary").returncode == -signal.SIGKILL
    assert run(learned, given, output, "never").stdout == f"{ROWS} 0"
    assert pq.read_table(output).equals(whole)
    assert not (tmp_path / "out.parquet.parts").exists()

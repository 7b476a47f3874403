"""The app under mixed load for minutes: no memory, file or thread leaks, nothing fails, every answer is logged once."""

import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import CanaryStrategy, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.feature.decode import ARROW, CSV
from tests.conftest import NOW, make_platform
from tests.e2e.load import ROWS, Ask, Clients, logged, metric, one, several, until, workers

MAX_GROWTH = 10
"""How many MiB each process may seem to grow after the warm-up: what its allocators' pools move by."""


class Sample(NamedTuple):
    """A process at a moment."""

    at: float
    mib: float
    files: int
    threads: int


def sample(process: int) -> Sample:
    lines = (Path("/proc") / str(process) / "status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    files = len(list((Path("/proc") / str(process) / "fd").iterdir()))
    return Sample(time.monotonic(), int(told["VmRSS"].split()[0]) / 1024, files, int(told["Threads"]))


def sampled_for(seconds, processes):
    """Every process, each second."""
    found = {process: [] for process in processes}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process, samples in found.items():
            samples.append(sample(process))
        time.sleep(1)
    return found


def mixed():
    """One client of each kind; some ask for what the challenger fails on, or for nothing that is valid."""
    table = pa.Table.from_pylist(ROWS[:20])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    lines = [f"{row['parcel_id']},{row['asked_at'].isoformat()},{row['depot']},{row['weight']}" for row in ROWS[:20]]
    return [
        *(Ask(one(number)) for number in range(4)),
        Ask(several(50)),
        Ask(several(300)),
        Ask("\n".join(["parcel_id,asked_at,depot,weight", *lines]).encode(), CSV),
        Ask(sink.getvalue().to_pybytes(), ARROW),
        Ask(several(3), path="/invocations?explain=true"),
        Ask(b'{"instances": [{"weight": "heavy"}]}'),
        Ask(b"\xff\xfe", ARROW),
    ]


def canary(home):
    """Give half of the traffic to a challenger that fails on heavy parcels."""
    platform = make_platform(home)
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    strategy = CanaryStrategy(steps=(0.5,), bake=timedelta(days=1))
    released = Variant(model=model, version=version)
    file = propose_model(platform.models, platform.releases.state(), released, strategy, override="a test")
    actor = Actor("tester", NOW)
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    return start(platform.release_target, actor, file).number


@pytest.mark.soak
def test_the_app_keeps_its_memory_files_and_threads_under_load(serving, pytestconfig):
    seconds = pytestconfig.getoption("--soak-seconds")
    served = serving("--workers", "2")
    number = canary(served.mlops.home)
    until(lambda: metric(served, "release_number") == number)
    clients = Clients(served, mixed(), pause=0.05)
    found = sampled_for(seconds, [served.process.pid, *workers(served)])
    clients.stop()
    until(lambda: metric(served, "prediction_log_pending") == 0)

    print(f"\n{sum(clients.outcomes.values())} requests, {dict(clients.outcomes)}, {len(clients.answers)} rows")  # noqa: T201
    growth = {}
    for process, samples in found.items():
        steady = samples[len(samples) // 3 :]
        slope = np.polyfit([one.at for one in steady], [one.mib for one in steady], 1)[0]
        growth[process] = slope * (steady[-1].at - steady[0].at)
        told = " ".join(f"{one.mib:.1f}" for one in samples[:: max(len(samples) // 12, 1)])
        files, threads = Counter(one.files for one in steady), Counter(one.threads for one in steady)
        print(f"{process}: MiB {told}, {slope * 3600:+.2f} MiB/h, files {files}, threads {threads}")  # noqa: T201
        half = len(steady) // 2
        assert np.median([one.files for one in steady[half:]]) <= np.median([one.files for one in steady[:half]]) + 1
        assert len(threads) == 1
    assert set(clients.outcomes) == {200, 400}
    assert max(growth.values()) < MAX_GROWTH
    times = Counter(row["prediction_id"] for row in logged(served))
    assert times == Counter(answer.name for answer in clients.answers)

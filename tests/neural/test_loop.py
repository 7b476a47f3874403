import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra torch is not installed; make test-torch runs these")

from pipelines.config import Task
from pipelines.neural.data import Resident
from pipelines.neural.encode import Encoding
from pipelines.neural.group import ProcessGroup
from pipelines.neural.loop import History, LoopWatch, learning_rate, train
from pipelines.neural.network import TabularNetwork
from pipelines.neural.settings import NetworkSettings
from tests.neural.rows import FEATURES, SMALL, rows

CPU = torch.device("cpu")
RECORDED = Path(__file__).parent / "losses.json"


def trained(checkpoints=None, watch=LoopWatch(), labels=None, group=ProcessGroup(CPU), **changed):
    """Train a small network on fixed rows, and return its history and the network."""
    settings = NetworkSettings(**{**SMALL, "epochs": 2, "patience": 9, **changed})
    X, quantity = rows(1000)
    quantity = (quantity - quantity.mean()) / quantity.std() if labels is None else labels
    encoding = Encoding.fit(X, FEATURES, settings.bins, 0)
    data = Resident(encoding(X[:800]), quantity[:800], CPU, 5)
    held = Resident(encoding(X[800:]), quantity[800:], CPU, 0).all
    torch.manual_seed(5)
    network = TabularNetwork(encoding, settings)
    return train(network, Task.REGRESSION, data, held, 5, group, checkpoints, watch), network


def test_the_losses_under_a_fixed_seed_are_the_recorded_ones():
    """A refactoring that changes them has changed the training; `python -m tests.neural.test_loop` records anew."""
    recorded = json.loads(RECORDED.read_text())
    history, _ = trained()
    np.testing.assert_allclose(history.losses, recorded["losses"], rtol=2e-4)
    np.testing.assert_allclose(history.holdout, recorded["holdout"], rtol=2e-4)


def test_a_second_training_gives_the_same_bits():
    (first, one), (second, other) = trained(), trained()
    assert (first.losses, first.holdout) == (second.losses, second.holdout)
    assert all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def test_accumulated_parts_give_the_losses_of_whole_batches():
    whole, parts = (trained(dropout=0.0, accumulate=count)[0] for count in (1, 4))
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-4)


def test_bfloat16_stays_near_float32():
    exact, half = (trained(precision=precision)[0] for precision in ("float32", "bfloat16"))
    assert half.losses != exact.losses
    np.testing.assert_allclose(half.losses, exact.losses, rtol=0.1)


@pytest.mark.slow
def test_a_compiled_step_gives_the_losses_of_a_plain_one():
    plain, compiled = (trained(dropout=0.0, compile=chosen)[0] for chosen in ("never", "always"))
    np.testing.assert_allclose(compiled.losses, plain.losses, rtol=1e-3)


def test_every_row_is_seen_once_in_a_pass_and_in_another_order_in_the_next():
    X, _ = rows(1000)
    data = Resident(Encoding.fit(X, FEATURES, 4, 0)(X), np.arange(1000.0), CPU, 0)
    first, second = ([batch.labels for batch in data.batches(epoch, 250, 0, 0, 1)] for epoch in (0, 1))
    assert torch.equal(torch.cat(first).sort().values, torch.arange(1000.0))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    skipped = [batch.labels for batch in data.batches(0, 250, 3, 0, 1)]
    assert len(skipped) == 1
    assert torch.equal(skipped[0], first[3])
    shares = [torch.cat([b.labels for b in data.batches(0, 250, 0, rank, 2)]) for rank in (0, 1)]
    assert torch.equal(torch.cat(shares).sort().values, torch.arange(1000.0))


def test_training_stops_when_the_held_out_rows_say_so_and_keeps_the_best():
    noise = np.random.default_rng(0).normal(0, 1, 1000)
    history, _ = trained(labels=noise, epochs=60, patience=2, learning_rate=0.02, average=0.5)
    assert len(history.holdout) < 60
    assert len(history.holdout) - 1 - int(np.argmin(history.holdout)) == 2


def test_the_rate_rises_to_its_peak_and_falls_to_a_hundredth():
    settings = NetworkSettings(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates == rates[:10] + sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_who_watches_hears_each_epoch_and_may_end_it():
    heard = []

    def report(epoch, loss):
        heard.append(epoch)
        if epoch == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trained(watch=LoopWatch(report), epochs=9)
    assert heard == [0, 1]


def test_more_parts_than_rows_are_reported():
    with pytest.raises(ValueError, match="too few"):
        trained(batch_rows=1024, accumulate=512)


if __name__ == "__main__":
    history: History = trained()[0]
    RECORDED.write_text(json.dumps({"losses": history.losses, "holdout": history.holdout}) + "\n")

"""Rows a second and time to a fixed quality of the training loop, against loops that are written every day.

All train the same network on the same made-up rows in this run, in turns: each round gives every loop a few seconds,
so that another's work on the machine slows them alike, and a ratio is the median over the rounds. A row of the table
says on what; without a GPU the bars are those for two cores. Run by ``make bench-training``, and by ``make bench-gpu``
where a GPU is.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from pipelines.config import CATEGORICAL, NUMERIC
from tests.bench.benchmarks import Row

ROWS, NUMBERS, SMALL_BATCH = 120_000, 20, 256
ROUNDS, SECONDS = 5, 4.0  # of each loop in a round
NAIVE = f"naive loop, batches of {SMALL_BATCH}"
FEATURES = {f"x{n}": NUMERIC for n in range(NUMBERS)} | {"shop": CATEGORICAL, "item": CATEGORICAL}


def measure_training() -> Iterator[Row]:
    """The loop against a naive loop over a DataLoader and Lightning; time to a loss against gradient boosting."""
    if find_spec("torch") is None:
        yield Row("training", "torch is not installed: 'make bench-training' installs it")
        return
    import torch

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    bar = 10.0 if torch.cuda.is_available() else 2.0
    X, y = made_rows()
    loops = {"ours": lambda: _ours(X, y), **_others(X, y)}
    for loop in loops.values():  # warm: kernels, compilation
        loop()
    rates = [{name: loop() for name, loop in loops.items()} for _ in range(ROUNDS)]
    median = {name: statistics.median(rate[name] for rate in rates) for name in loops}
    yield Row(f"our loop, batches of 2,048, on {where}", f"{median['ours']:,.0f} rows/s")
    for name in list(loops)[1:]:
        ratios = [rate["ours"] / rate[name] for rate in rates]
        ratio = statistics.median(ratios)
        bound = (f"≥ {bar:g} x", ratio >= bar) if name == NAIVE else ()
        told = f"{ratio:.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        yield Row(f"ours against {name}", f"{median['ours']:,.0f} rows/s", f"{median[name]:,.0f} rows/s", told, *bound)
    yield from _to_quality(X, y)
    yield _roofline(X, median["ours"])


def made_rows() -> tuple[pd.DataFrame, Any]:
    """Return rows whose event depends on bends of some numbers and on a category, with noise."""
    random = np.random.default_rng(0)
    numbers = random.normal(0, 1, (ROWS, NUMBERS)).astype(np.float32)
    shop, item = random.integers(0, 100, ROWS), random.integers(0, 1000, ROWS)
    logit = 2 * np.sin(2 * numbers[:, 0]) + numbers[:, 1] * numbers[:, 2] + random.normal(0, 1, 100)[shop]
    y = (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    X = pd.DataFrame(numbers, columns=[f"x{n}" for n in range(NUMBERS)])
    return X.assign(shop=[f"s{n}" for n in shop], item=[f"i{n}" for n in item]), y


def _network(X: Any, **settings: Any) -> Any:
    """Return a network that has learnt nothing, and the encoding of the rows."""
    import torch

    from pipelines.neural.encode import Encoding
    from pipelines.neural.network import TabularNetwork
    from pipelines.neural.settings import NetworkSettings

    torch.manual_seed(0)
    chosen = NetworkSettings(**settings)
    encoding = Encoding.fit(X, FEATURES, chosen.bins, 0)
    return TabularNetwork(encoding, chosen), encoding


def _ours(X: Any, y: Any) -> float:
    """Return the rows a second of the loop over a pass, the evaluation after it included."""
    import torch

    from pipelines.neural import classifier

    device = "cuda" if torch.cuda.is_available() else "cpu"
    history = classifier(FEATURES, 0, epochs=1, device=device).fit(X, y).history
    return float(history.rows / history.seconds)


def _others(X: Any, y: Any) -> dict[str, Callable[[], float]]:
    """Return loops by name; each trains for some seconds and returns the rows a second."""
    found = {NAIVE: lambda: _naive(X, y, SMALL_BATCH), "naive loop, batches of 2,048": lambda: _naive(X, y, 2048)}
    if find_spec("lightning"):
        found[f"Lightning, batches of {SMALL_BATCH}"] = lambda: _lightning(X, y)
    return found


def _loader(encoded: Any, y: Any, size: int) -> Any:
    """Return the DataLoader that tutorials have: a Dataset that returns one row."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Rows(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(y)

        def __getitem__(self, row: int) -> Any:
            return (
                torch.from_numpy(encoded.numbers[row]),
                torch.from_numpy(encoded.codes[row]),
                torch.tensor(y[row], dtype=torch.float32),
            )

    return DataLoader(Rows(), batch_size=size, shuffle=True)


def _naive(X: Any, y: Any, size: int) -> float:
    import torch
    from torch.nn import functional

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, encoding = _network(X)
    network.to(device).train()
    loader, seen = _loader(encoding(X), y, size), 0
    optimizer, began = torch.optim.Adam(network.parameters(), lr=1e-3), time.perf_counter()
    for numbers, codes, labels in loader:
        optimizer.zero_grad()
        logits = network(numbers.to(device), codes.to(device))[:, 0]
        loss = functional.binary_cross_entropy_with_logits(logits, labels.to(device))
        loss.backward()
        optimizer.step()
        _ = loss.item()  # as loops that log do
        seen += len(labels)
        if time.perf_counter() - began > SECONDS:
            break
    return seen / (time.perf_counter() - began)


def _lightning(X: Any, y: Any) -> float:
    import logging

    import lightning
    import torch
    from torch.nn import functional

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    network, encoding = _network(X)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.seen = network, 0

        def training_step(self, batch: Any, _number: int) -> Any:
            numbers, codes, labels = batch
            self.seen += len(labels)
            return functional.binary_cross_entropy_with_logits(self.network(numbers, codes)[:, 0], labels)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    module = Module()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_time={"seconds": int(SECONDS)}, max_epochs=1, **quiet)
    loader, began = _loader(encoding(X), y, SMALL_BATCH), time.perf_counter()
    trainer.fit(module, loader)
    return module.seen / (time.perf_counter() - began)


def _to_quality(X: Any, y: Any) -> Iterator[Row]:
    """Time until a log loss on held-out rows that all reach: a hundredth above the worst of their best."""
    from sklearn.metrics import log_loss

    cut = int(0.8 * ROWS)
    fits: dict[str, Callable[[int], Any]] = {"our network": _fit_network, **_trees()}
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, fit in fits.items():
        curves[name] = []
        for effort in (1, 2, 4, 8):
            began = time.perf_counter()
            fitted = fit(effort).fit(X[:cut], y[:cut])
            seconds = time.perf_counter() - began
            curves[name].append((seconds, float(log_loss(y[cut:], fitted.predict_proba(X[cut:])[:, 1]))))
    target = max(min(loss for _, loss in curve) for curve in curves.values()) + 0.01
    for name, curve in curves.items():
        first = min(seconds for seconds, loss in curve if loss <= target)
        best = min(loss for _, loss in curve)
        yield Row(f"time to a log loss of {target:.3f}: {name}", f"{first:.1f} s", f"its best {best:.4f}")


def _fit_network(effort: int) -> Any:
    from pipelines.neural import classifier

    return classifier(FEATURES, 0, epochs=effort, patience=effort, learning_rate=4e-3)


def _trees() -> dict[str, Callable[[int], Any]]:
    """Return gradient boosting of scikit-learn, XGBoost and LightGBM, with a hundred small trees for each effort."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    def encoded(trees: Any) -> Any:
        return make_pipeline(
            ColumnTransformer([("text", OrdinalEncoder(), ["shop", "item"])], remainder="passthrough"), trees
        )

    found: dict[str, Callable[[int], Any]] = {
        "scikit-learn": lambda effort: encoded(
            HistGradientBoostingClassifier(max_iter=100 * effort, early_stopping=False)
        )
    }
    if find_spec("xgboost"):
        from xgboost import XGBClassifier

        found["XGBoost"] = lambda effort: encoded(XGBClassifier(n_estimators=100 * effort, learning_rate=0.1))
    if find_spec("lightgbm"):
        from lightgbm import LGBMClassifier

        found["LightGBM"] = lambda effort: encoded(LGBMClassifier(n_estimators=100 * effort, verbose=-1))
    return found


def _roofline(X: Any, rate: float) -> Row:
    """The rate of the step's matrix products against what the device reaches in one large product of that precision."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    gpu = torch.cuda.is_available()
    device, precision, side = ("cuda", torch.bfloat16, 8192) if gpu else ("cpu", torch.float32, 2048)
    network, encoding = _network(X)
    network.to(device)
    numbers, codes = (torch.from_numpy(array).to(device) for array in encoding(X[:8192]))
    with FlopCounterMode(display=False) as counter:
        network(numbers, codes).sum().backward()
    per_row = counter.get_total_flops() / len(numbers)
    square = torch.randn(side, side, device=device, dtype=precision)

    def products(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            square @ square
        if gpu:
            torch.cuda.synchronize()
        return count * 2 * side**3 / (time.perf_counter() - began)

    products(3)
    peak = products(20)
    share = rate * per_row / peak
    where = "the card's bfloat16" if gpu else "the processor's float32"
    bound = ("≥ 85 %", share >= 0.85) if gpu else ()
    return Row(f"share of {where} roofline", f"{share:.1%}", f"{peak / 1e12:.2g} TFLOP/s", "", *bound)

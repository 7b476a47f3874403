"""A network as an estimator: scikit-learn's interface, checkpoints during training, export to ONNX."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from pipelines.config import FeatureType, Task, UserError
from pipelines.neural.calibrate import temperature
from pipelines.neural.checkpoint import Checkpoints
from pipelines.neural.data import Batch, Batches, Resident
from pipelines.neural.encode import Encoding, Floats
from pipelines.neural.export import network_to_onnx
from pipelines.neural.group import ProcessGroup, training_group
from pipelines.neural.loop import History, LoopWatch, logits, train
from pipelines.neural.network import TabularNetwork
from pipelines.neural.profile import profiled
from pipelines.neural.settings import NetworkSettings
from pipelines.neural.stream import Stream, row_sample

log = logging.getLogger(__name__)

MIN_ROWS = 50
CPU = torch.device("cpu")


class NetworkEstimator:
    """A network for one task; ``on_epoch`` gets the number and the held-out loss of each epoch, and may raise."""

    def __init__(self, features: Mapping[str, FeatureType], seed: int, task: Task, settings: NetworkSettings) -> None:
        self.features, self.seed, self.task, self.settings = dict(features), seed, task, settings
        self.on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None
        self.checkpoints: Path | None = None
        self.profile: Path | None = None

    def work_in(self, checkpoints: Path, profile: Path | None) -> None:
        """Keep checkpoints in one folder and resume from there; write a profile into the other."""
        self.checkpoints, self.profile = checkpoints, profile

    def fit(self, X: pd.DataFrame, y: npt.NDArray[np.float64]) -> Self:
        """Fit on rows, oldest first; the latest are held out for early stopping and calibration.

        Raises:
            UserError: when the rows are too few to hold some out.
        """
        if len(X) < MIN_ROWS:
            raise UserError(f"a network needs at least {MIN_ROWS} rows to learn from, not {len(X)}")
        labels, cut = y.astype(np.float32), len(X) - max(1, round(self.settings.holdout * len(X)))
        with training_group(self.settings.device) as group:
            self.encoding = Encoding.fit(X[:cut], self.features, self.settings.bins, self.seed)
            self._standardise(labels[:cut])
            encoded = self.encoding(X[:cut])
            data = Resident(encoded, (labels[:cut] - self.shift) / self.scale, group.device, self.seed)
            self._learn(data, X[cut:], labels[cut:], group, _digest(*encoded, labels))
        return self

    def fit_files(self, files: Sequence[str], label: str, X: pd.DataFrame, y: npt.NDArray[np.float64]) -> Self:
        """Fit on Parquet files that need not fit into memory; ``X`` and ``y`` are the rows to hold out.

        Each file has the features and the column ``label``. The encoding is learnt from a sample of the files.
        """
        with training_group(self.settings.device) as group:
            sample = row_sample(files, [*self.features, label], self.seed).to_pandas()
            text = [name for name, kind in self.features.items() if kind is FeatureType.CATEGORICAL]
            sample[text] = sample[text].fillna("")
            self.encoding = Encoding.fit(sample, self.features, self.settings.bins, self.seed)
            self._standardise(sample[label].to_numpy(np.float32))
            data = Stream(files, self.encoding, label, self.shift, self.scale, group.device, self.seed)
            self._learn(data, X, y.astype(np.float32), group, f"{sorted(files)} {data.rows}")
        return self

    def _standardise(self, labels: Floats) -> None:
        regression = self.task is Task.REGRESSION
        self.shift = float(labels.mean()) if regression else 0.0
        self.scale = float(labels.std()) or 1.0 if regression else 1.0

    def _learn(self, data: Batches, X: pd.DataFrame, labels: Floats, group: ProcessGroup, digest: str) -> None:
        """Train on ``data``, stopping early on the rows held out, and calibrate on them."""
        torch.manual_seed(self.seed)
        self.network = TabularNetwork(self.encoding, self.settings)
        held = Resident(self.encoding(X), (labels - self.shift) / self.scale, group.device, 0).all
        with profiled(self.profile if group.rank == 0 else None, group.device, data) as on_step:
            watch = LoopWatch(self.on_epoch, on_step)
            checkpoints = self._checkpoint(f"{digest} {group.world}")
            self.history: History = train(self.network, self.task, data, held, self.seed, group, checkpoints, watch)
        if self.task is Task.BINARY:
            self.scale = 1 / temperature(logits(self.network, held).cpu().numpy(), labels)
        self.network.to(CPU).eval()
        log.info(
            "trained processes=%d rows_per_second=%.0f stalled=%.1fs of=%.1fs",
            group.world,
            self.history.rows / self.history.seconds,
            self.history.stalled,
            self.history.seconds,
        )

    def _checkpoint(self, digest: str) -> Checkpoints | None:
        fingerprint = f"{self.settings.sha256()} {self.seed} {digest}"
        return Checkpoints(self.checkpoints, fingerprint) if self.checkpoints else None

    def predict(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the quantity for each row; of a classifier whether the event is likelier than not."""
        if self.task is Task.BINARY:
            return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.float64)
        return self._outputs(X)

    def predict_proba(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the probability that the event does not happen, and that it does, [rows, 2]."""
        event = 1 / (1 + np.exp(-self._outputs(X)))
        return np.stack([1 - event, event], axis=1)

    def _outputs(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        encoded = self.encoding(X)
        rows = Batch(torch.from_numpy(encoded.numbers), torch.from_numpy(encoded.codes), torch.empty(0))
        raw = logits(self.network, rows).numpy().astype(np.float64)
        return raw * self.scale + self.shift  # type: ignore[no-any-return]

    def to_onnx(self, _features: Mapping[str, FeatureType]) -> bytes:
        """Return the network, with its encoding and calibration, as ONNX."""
        return network_to_onnx(self.network, self.encoding, self.task, self.scale, self.shift)


def _digest(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

"""Writes the pages of a run of the monitor: its own, and evidently's on samples of predictions and of training."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from monitoring import evidently_page, monitor_page
from monitoring.evidently_page import LABEL, PREDICTION
from pipelines.bootstrap import Platform, pipeline
from pipelines.config import FeatureType, Manifest, UserError
from pipelines.monitor import Labelled, MonitorReport
from pipelines.registry.scoring import Scorer, columns
from pipelines.storage.ports import Unavailable
from pipelines.training.prepare import part

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 10_000
"""Of predictions, and of the test period, that evidently looks at: a sample keeps it at seconds."""


def write_pages(platform: Platform, run_id: str, folder: Path) -> list[Path]:
    """Write ``index.html`` of a run of the monitor into a folder, and evidently's pages where there is what to compare.

    Returns:
        The files, ``index.html`` first.

    Raises:
        UserError: when the run is not done, or evidently is not installed.
    """
    monitor = pipeline("monitor")
    report: MonitorReport = platform.runner.output(monitor, "alarm", run_id)
    made = _deeper(platform, platform.runner.output(monitor, "join_labels", run_id))
    config, measured = platform.problem.config, report.measured
    index = monitor_page.render(config, platform.settings.environment, measured, report.alarms, made.keys())
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{name}.html": text for name, text in {"index": index, **made}.items()}
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


def _deeper(platform: Platform, answered: Labelled) -> dict[str, str]:
    champion, predictions = answered.watched.champion, answered.predictions
    if champion is None or not predictions.num_rows:
        return {}
    manifest = platform.models.manifest(champion.model)
    training = pipeline("training")
    try:
        frame, split = (platform.runner.output(training, name, manifest.run_id) for name in ("extract", "prepare"))
    except (UserError, Unavailable):  # a model from elsewhere, or one whose run was cleaned up
        return {}
    test = _sample(part(frame, split, "test"))
    score = Scorer(platform.models.onnx(champion.model), manifest.features)
    scored = test.append_column(PREDICTION, pa.array(score(columns(test, manifest.features))))
    named = predictions.rename_columns([name.removeprefix("feature_") for name in predictions.column_names])
    current, reference = _rows(_sample(named), manifest), _rows(scored, manifest)
    return evidently_page.pages(current, reference, manifest.features, platform.problem.config.task)


def _sample(table: pa.Table) -> pa.Table:
    if table.num_rows <= _ROWS:
        return table
    return table.take(np.sort(np.random.default_rng(0).choice(table.num_rows, _ROWS, replace=False)))


def _rows(table: pa.Table, manifest: Manifest) -> "pd.DataFrame":
    """Return features, prediction and label as a frame; a missing category is a text of its own."""
    import pandas as pd

    frame = pd.DataFrame(columns(table, manifest.features))
    for name, kind in manifest.features.items():
        if kind is FeatureType.CATEGORICAL:
            frame[name] = frame[name].replace("", "(missing)")
    for name in (PREDICTION, LABEL):
        frame[name] = table[name].cast(pa.float64()).to_pandas()
    return frame

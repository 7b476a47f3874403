"""Pages of evidently on two samples of predictions: drift and summary of each column, and quality on labels.

For people who look deeper; alarms are raised by :mod:`monitoring.alarms`. evidently is the extra ``monitoring``, and
takes seconds to import. https://docs.evidentlyai.com/metrics/all_presets
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.config import FeatureType, Task, UserError

if TYPE_CHECKING:
    import pandas as pd

LABEL, PREDICTION = "label", "prediction"


def pages(
    current: "pd.DataFrame", reference: "pd.DataFrame", features: Mapping[str, FeatureType], task: Task
) -> dict[str, str]:
    """Return pages as HTML that needs no network, of some megabytes each: ``data``, and ``quality`` where labels are.

    Args:
        current: a row for each prediction: the features, ``prediction``, and ``label``, missing while it is not known.
        reference: the same of the past to compare with.
        features: the types of the features by name.
        task: what the label is.

    Raises:
        UserError: when evidently is not installed, or one of the frames has no row.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its libraries, for its makers
        return _pages(current, reference, features, task)


def _pages(
    current: "pd.DataFrame", reference: "pd.DataFrame", features: Mapping[str, FeatureType], task: Task
) -> dict[str, str]:
    try:
        from evidently import BinaryClassification, DataDefinition, Dataset, Regression, Report
        from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset, RegressionPreset
    except ImportError as error:
        told = "evidently, which makes the pages, is not installed; run 'uv sync --inexact --extra monitoring'"
        raise UserError(told) from error
    if current.empty or reference.empty:
        raise UserError("the pages compare predictions with those of the test period, and one of the two has no row")
    binary = task is Task.BINARY
    columns = {
        "numerical_columns": [*(name for name, kind in features.items() if kind is FeatureType.NUMERIC), PREDICTION],
        "categorical_columns": [name for name, kind in features.items() if kind is FeatureType.CATEGORICAL],
    }
    data = DataDefinition(**columns)
    parts = [Dataset.from_pandas(rows.drop(columns=LABEL), data_definition=data) for rows in (current, reference)]
    made = {"data": Report([DataDriftPreset(), DataSummaryPreset()]).run(*parts)}
    known = [rows.dropna(subset=[LABEL, PREDICTION]) for rows in (current, reference)]
    if all(rows[LABEL].nunique() > 1 for rows in known):
        if binary:
            judged = DataDefinition(classification=[BinaryClassification(target=LABEL, prediction_probas=PREDICTION)])
            known = [rows.astype({LABEL: int}) for rows in known]
        else:
            judged = DataDefinition(regression=[Regression(target=LABEL, prediction=PREDICTION)])
        parts = [Dataset.from_pandas(rows[[LABEL, PREDICTION]], data_definition=judged) for rows in known]
        made["quality"] = Report([ClassificationPreset() if binary else RegressionPreset()]).run(*parts)
    return {name: run.get_html_str(as_iframe=False) for name, run in made.items()}

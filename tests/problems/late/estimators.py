"""A model of one column, and trees."""

from collections.abc import Mapping

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from pipelines.config import FeatureType
from pipelines.neural import classifier
from tests.problems.columns import encoded


def baseline(_features: Mapping[str, FeatureType], seed: int) -> Pipeline:
    columns = ColumnTransformer([("weight", SimpleImputer(), ["weight"])])
    return make_pipeline(columns, LogisticRegression(random_state=seed))


def boosting(features: Mapping[str, FeatureType], seed: int, *, max_iter: int = 25) -> Pipeline:
    return make_pipeline(encoded(features), HistGradientBoostingClassifier(max_iter=max_iter, random_state=seed))


ESTIMATORS = {"baseline": baseline, "boosting": boosting, "network": classifier}

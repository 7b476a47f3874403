"""A model of one column, and trees."""

from collections.abc import Mapping

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline

from pipelines.config import FeatureType
from pipelines.neural import regressor
from tests.problems.columns import encoded


def baseline(_features: Mapping[str, FeatureType], _seed: int) -> Pipeline:
    columns = ColumnTransformer([("weight", SimpleImputer(), ["weight"])])
    return make_pipeline(columns, LinearRegression())


def boosting(features: Mapping[str, FeatureType], seed: int, *, max_iter: int = 25) -> Pipeline:
    return make_pipeline(encoded(features), HistGradientBoostingRegressor(max_iter=max_iter, random_state=seed))


ESTIMATORS = {"baseline": baseline, "boosting": boosting, "network": regressor}

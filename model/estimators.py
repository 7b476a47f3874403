"""The estimators that a training may choose from. Each takes the raw feature row and is exported as one ONNX file."""

from collections.abc import Mapping

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from pipelines.config import CATEGORICAL, NUMERIC, FeatureType
from pipelines.neural import classifier


def baseline(features: Mapping[str, FeatureType], seed: int) -> Pipeline:
    """Logistic regression on recent delays and the hour: the baseline that a better model must beat."""
    used = [name for name in features if name.endswith("_share_late")] + ["local_hour"]
    columns = ColumnTransformer([("numbers", make_pipeline(SimpleImputer(), StandardScaler()), used)])
    return make_pipeline(columns, LogisticRegression(solver="newton-cholesky", random_state=seed))


def gradient_boosting(
    features: Mapping[str, FeatureType],
    seed: int,
    *,
    max_iter: int = 100,
    learning_rate: float = 0.1,
    max_leaf_nodes: int = 31,
    min_samples_leaf: int = 20,
) -> Pipeline:
    """Gradient-boosted trees; missing numbers take their own branch, unknown categories the code -1."""
    columns = ColumnTransformer(
        [
            (
                "text",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                _names(features, CATEGORICAL),
            ),
            ("numbers", "passthrough", _names(features, NUMERIC)),
        ]
    )
    trees = HistGradientBoostingClassifier(
        max_iter=max_iter,
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        min_samples_leaf=min_samples_leaf,
        early_stopping=False,
        random_state=seed,
    )
    return make_pipeline(columns, trees)


ESTIMATORS = {"baseline": baseline, "gradient_boosting": gradient_boosting, "neural_network": classifier}


def _names(features: Mapping[str, FeatureType], kind: FeatureType) -> list[str]:
    return [name for name, given in features.items() if given is kind]

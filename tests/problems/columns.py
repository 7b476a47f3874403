"""How both problems turn text into numbers."""

from collections.abc import Mapping

from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OrdinalEncoder

from pipelines.config import CATEGORICAL, NUMERIC, FeatureType


def encoded(features: Mapping[str, FeatureType]) -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer(
        [
            ("text", encoder, [name for name, kind in features.items() if kind is CATEGORICAL]),
            ("numbers", "passthrough", [name for name, kind in features.items() if kind is NUMERIC]),
        ]
    )

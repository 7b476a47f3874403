"""The feature pipeline, defined."""

from pipelines.feature import FeatureParams
from pipelines.feature.engineer import engineer
from pipelines.feature.extract import extract
from pipelines.feature.ingest import ingest
from pipelines.feature.materialise import materialise
from pipelines.feature.validate import validate
from pipelines.orchestration.pipeline import Pipeline

PIPELINE = Pipeline(
    "feature",
    FeatureParams,
    raw=extract,
    checked=validate,
    ingested=ingest,
    features=engineer,
    materialised=materialise,
)

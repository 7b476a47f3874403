"""Batch inference: the same predictions as online, and what it refuses."""

import fcntl
import json
import os
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from pipelines.batch.predict import predict
from pipelines.batch.requests import chunks, of_day, of_file
from pipelines.config import UserError, Variant
from pipelines.feature.decode import RequestDecoder
from pipelines.feature.online import OnlineFeatures
from pipelines.serving.model import ServedModel
from tests.conftest import NOW
from tests.problems import parcels

DAY = NOW - timedelta(days=3)


@pytest.fixture
def batch(learned, tmp_path):
    """Predict for a table of requests, written to a file first."""
    output = tmp_path / "out.parquet"

    def run(rows, suffix=".parquet", variant=None, chunk_rows=30):
        path = tmp_path / f"requests{suffix}"
        (pq.write_table if suffix == ".parquet" else csv.write_csv)(rows, path)
        requests = of_file(learned.problem, path)
        chosen = variant or champion(learned)
        predict(learned.problem, learned.tables, learned.models, chosen, requests, output, lambda _: None, chunk_rows)
        return pq.read_table(output)

    return run


def champion(platform):
    return Variant(model=platform.models.versions()[1], version=1)


def day(moment=DAY):
    return parcels.read("parcels", moment, moment + timedelta(days=1))


def replaced(rows, column, values, start=0):
    old = rows[column].to_pylist()
    old[start : start + len(values)] = values
    return rows.set_column(rows.schema.get_field_index(column), column, pa.array(old))


def same(found, expected):
    """Say whether two outputs agree; how many rows are scored together may change a prediction's last bits."""
    others = ["key", "event_time", "model_version"]
    near = np.allclose(found["prediction"].to_numpy(), expected["prediction"].to_numpy(), rtol=1e-6, atol=1e-6)
    return found.select(others).equals(expected.select(others)) and near


def test_the_predictions_are_those_of_the_app(learned, batch):
    """At the moment up to which the online store is complete, since it holds no history."""
    rows = day()
    rows = replaced(rows, "asked_at", [NOW] * rows.num_rows)
    found = batch(rows)
    problem, config = learned.problem, learned.problem.config
    features = OnlineFeatures(problem, learned.online)
    decode, model = (
        RequestDecoder(config.request_columns),
        ServedModel(champion(learned), learned.models, problem, learned.online),
    )
    online = []
    for row in rows.to_pylist():
        body = json.dumps({**row, "asked_at": row["asked_at"].isoformat()}).encode()
        online.append(model.score(features(decode(body)[0]).features)[0])
    assert len(online) > 60
    np.testing.assert_allclose(found["prediction"].to_numpy(), online, rtol=1e-6, atol=1e-6)
    assert np.std(online) > 0.01


def test_the_output_names_each_request_and_the_model(learned, batch):
    rows = day()
    found = batch(rows)
    assert found.column_names == ["key", "event_time", "prediction", "model_version"]
    assert found["key"].to_pylist() == rows["parcel_id"].to_pylist()
    assert found["event_time"].to_pylist() == rows["asked_at"].to_pylist()
    assert set(found["model_version"].to_pylist()) == {1}
    metadata = {name.decode(): value.decode() for name, value in found.schema.metadata.items()}
    view = f"features.{learned.problem.views[0].versioned_name}"
    assert metadata["model"] == champion(learned).model
    assert metadata[view] == str(learned.tables.snapshot(view))


def test_the_chunks_and_the_format_of_the_input_change_nothing(batch):
    rows = replaced(day(), "weight", [None, None], 5)
    whole = batch(rows, chunk_rows=10_000)
    assert same(batch(rows, chunk_rows=7), whole)
    assert same(batch(rows, ".csv"), whole)
    assert same(batch(rows.drop_columns(["recipient"])), whole), "personal columns are optional"
    shuffled = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    assert same(batch(shuffled, chunk_rows=9).sort_by("key"), whole.sort_by("key"))


def test_a_day_of_the_request_table_is_predicted_for_and_written_as_csv(learned, tmp_path, batch):
    output = tmp_path / "day.csv"
    requests = of_day(learned.problem, learned.tables, DAY)
    told = []
    done = predict(
        learned.problem, learned.tables, learned.models, champion(learned), requests, output, told.append, 40
    )
    found, expected = csv.read_csv(output), batch(day())
    assert (done.rows, sum(told), done.resumed) == (expected.num_rows, expected.num_rows, 0)
    assert found["key"].to_pylist() == expected["key"].to_pylist()
    assert pc.equal(found["event_time"].cast(expected["event_time"].type), expected["event_time"]).to_pylist()
    np.testing.assert_allclose(found["prediction"].to_numpy(), expected["prediction"].to_numpy(), atol=1e-7)


@pytest.mark.parametrize(
    ("broken", "suffix", "message"),
    [
        (lambda rows: replaced(rows, "depot", ["rome", "rome"], 40), ".csv", "depot: must be one of berlin, lyon, porto (2 rows, for example 'rome'), first in row 41"),
        (lambda rows: replaced(rows, "weight", [-1.0], 2), ".parquet", "weight: must be at least 0 (1 rows, for example -1.0), first in row 3"),
        (lambda rows: replaced(rows, "parcel_id", [None], 1), ".csv", "parcel_id: must not be missing (1 rows), first in row 2"),
        (lambda rows: replaced(rows, "parcel_id", ["p", "p"], 3), ".csv", "parcel_id: must be unique (2 rows, for example 'p'), first in row 4"),
        (lambda rows: replaced(replaced(rows, "parcel_id", ["p"], 3), "parcel_id", ["p"], 44), ".csv", "parcel_id must be unique, and these come again: 'p'"),
        (lambda rows: rows.drop_columns(["weight"]), ".csv", "lacks weight; a request has the columns parcel_id, asked_at, depot, weight"),
        (lambda rows: rows.slice(0, 0), ".parquet", "has no requests"),
        (lambda rows: replaced(rows.set_column(3, "weight", rows["weight"].cast(pa.string())), "weight", ["heavy"], 50), ".csv", "weight: must be a float (for example 'heavy' in row 51)"),
        (lambda rows: rows.set_column(1, "asked_at", [["2024-02-22T01:00:00"] * rows.num_rows]), ".csv", "asked_at: must be a timestamp (for example '2024-02-22T01:00:00' in row 1)"),
    ],
)  # fmt: skip
def test_a_bad_input_is_reported_by_column_and_row_and_leaves_nothing(batch, tmp_path, broken, suffix, message):
    with pytest.raises(UserError) as error:
        batch(broken(day()), suffix)
    assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [f"requests{suffix}"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "there is no file"),
        ("rows.xlsx", b"x", r"neither .csv nor .parquet"),
        ("empty.csv", b"", "cannot be read: Empty CSV file"),
        ("not.parquet", b"PAR0", "cannot be read"),
    ],
)
def test_what_is_no_table_is_reported(learned, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        of_file(learned.problem, tmp_path / name)


@pytest.mark.parametrize("copies", [1, 500])  # found where the file is opened, and on the way
def test_a_row_with_too_many_values_is_reported(learned, tmp_path, copies):
    csv.write_csv(pa.concat_tables([day()] * copies), tmp_path / "long.csv")
    with (tmp_path / "long.csv").open("a") as file:
        file.write("p,1,2,3,4,5,6\n")
    with pytest.raises(UserError, match=r"cannot be read: CSV parse error: .*Expected 5 columns, got 7"):
        list(chunks(of_file(learned.problem, tmp_path / "long.csv"), 1000))


def test_a_day_without_requests_is_reported(learned, tmp_path):
    requests = of_day(learned.problem, learned.tables, datetime(2030, 1, 1, tzinfo=NOW.tzinfo))
    with pytest.raises(UserError, match=r"table raw\.parcels, 2030-01-01, has no requests"):
        predict(learned.problem, learned.tables, learned.models, champion(learned), requests, tmp_path / "out.csv")


def test_an_output_that_is_being_written_is_left_alone(batch, tmp_path):
    folder = tmp_path / "out.parquet.parts"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="another run is writing"):
        batch(day())
    os.close(handle)
    assert batch(day()).num_rows


def test_a_model_whose_features_were_never_materialised_is_refused(learned, batch):
    models, model = learned.models, champion(learned).model
    manifest = models.manifest(model)
    versions = manifest.feature_versions.model_copy(
        update={"views": {**manifest.feature_versions.views, "queue": "other"}}
    )
    files = {name: models.file(model, name) for name in manifest.files}
    digest, version = models.put(manifest.model_copy(update={"feature_versions": versions}), files)
    with pytest.raises(UserError, match=r"feature view 'queue' has no rows \(features\.queue_other\)"):
        batch(day(), variant=Variant(model=digest, version=version))

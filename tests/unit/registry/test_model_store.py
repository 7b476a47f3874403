import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.config import Manifest, UserError
from pipelines.contracts import keys
from pipelines.registry.model_store import ONNX, ModelStore


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(FileObjects(tmp_path))


def of(manifest: Manifest, data: bytes) -> tuple[Manifest, dict[str, bytes]]:
    return manifest.model_copy(update={"files": {ONNX: hashlib.sha256(data).hexdigest()}}), {ONNX: data}


def test_a_candidate_comes_back_as_it_was_stored(store, manifest):
    stored, files = of(manifest, b"model")
    digest, version = store.put(stored, files)
    assert version == 1
    assert store.manifest(digest) == stored
    assert store.onnx(digest) == b"model"


def test_storing_it_again_is_the_same_version(store, manifest):
    assert store.put(*of(manifest, b"model")) == store.put(*of(manifest, b"model"))


@pytest.mark.parametrize("file", [ONNX, "manifest.json"])
def test_a_file_that_was_changed_is_refused(store, manifest, tmp_path, file):
    digest, _ = store.put(*of(manifest, b"model"))
    path = tmp_path / "models" / digest / file
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(UserError, match=f"{file} of model .* was tampered with"):
        store.onnx(digest)


def test_a_file_that_is_not_the_manifests_is_not_stored(store, manifest):
    other, _ = of(manifest, b"model")
    with pytest.raises(ValueError, match="not the file that the manifest lists"):
        store.put(other, {ONNX: b"other"})
    assert store.versions() == {}


def test_candidates_registered_at_once_get_a_number_each(store, manifest):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put(*of(manifest, str(n).encode())), range(16)))
    versions = store.versions()
    assert sorted(versions) == list(range(1, 17))
    assert len(set(versions.values())) == 16


def test_a_model_is_found_by_version_and_by_the_beginning_of_its_digest(store, manifest):
    digest, _ = store.put(*of(manifest, b"one"))
    store.put(*of(manifest, b"two"))
    assert store.resolve("1") == store.resolve("v1") == store.resolve(digest[:8]) == (digest, 1)
    for reference in ("3", "v0", "zz", ""):
        with pytest.raises(UserError, match="there is no model"):
            store.resolve(reference)


def test_a_model_that_is_not_there_is_named(store):
    with pytest.raises(UserError, match="the model store has no model 0123456789ab"):
        store.manifest("0123456789abcdef")


def test_a_version_that_a_killed_process_left_unindexed_stays_its_models(store, manifest, tmp_path):
    killed, files = of(manifest, b"killed")
    digest, version = store.put(killed, files)
    for key in keys.version_index(version, digest):
        (tmp_path / key).unlink()
    assert store.versions() == {}
    assert store.version(1) == digest
    other, number = store.put(*of(manifest, b"other"))
    assert (number, store.versions()) == (2, {1: digest, 2: other})
    assert store.put(killed, files) == (digest, 1)


def test_a_resumed_registration_finds_the_version_it_took(store, manifest, tmp_path):
    stored, files = of(manifest, b"model")
    digest, version = store.put(stored, files)
    for key in keys.version_index(version, digest):
        (tmp_path / key).unlink()
    assert store.put(stored, files) == (digest, 1)
    assert store.versions() == {1: digest}


def test_one_candidate_that_is_registered_at_once_has_one_version(store, manifest):
    stored, files = of(manifest, b"model")
    with ThreadPoolExecutor(8) as pool:
        assert {number for _, number in pool.map(lambda _: store.put(stored, files), range(16))} == {1}
    assert len(store.versions()) == 1

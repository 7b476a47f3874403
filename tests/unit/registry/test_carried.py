"""Feature definitions travel with a model: it is served with its own, whatever the problem package says today."""

import sys
from datetime import timedelta
from hashlib import sha256

import numpy as np
import pytest

from pipelines.config import Problem, Variant
from pipelines.registry import carried
from pipelines.serving.model import ServedModel, servable
from tests.conftest import make_platform
from tests.definitions import WIDER, edited

DESCRIBED = ("How long the depot's queue was at its last scan.", "The queue at the depot's last scan.")
LAMBDA = '        "weight": request["weight"],\n'


@pytest.fixture
def changed(released, tmp_path, monkeypatch):
    """Return the platform in which version 1 is released, after an edit of the problem package."""
    monkeypatch.syspath_prepend(tmp_path)

    def change(*changes, **files):
        return make_platform(released.home, edited(tmp_path, *changes, **files))

    return change


def champion(platform):
    return platform.releases.state().champion


def refusals(platform):
    return " ".join(servable(platform.models, champion(platform), platform.problem))


def test_words_change_no_version(changed):
    before = carried.versions(Problem.load("tests.problems.late"))
    for words in (DESCRIBED, ("Parcels on their way", "Parcels under way"), ("VIEWS = (", "# all of them\nVIEWS = (")):
        after = carried.versions(changed(words).problem)
        assert (after.views, after.request) == (before.views, before.request)


def test_a_changed_helper_of_a_view_changes_its_version_and_no_others(changed):
    before = carried.versions(Problem.load("tests.problems.late"))
    after = carried.versions(changed(('"queue": "queue_now"}', '"queue": "queue_now"}, copy=True')).problem)
    assert after.views["queue"] != before.views["queue"]
    assert (after.views["queue_trend"], after.request) == (before.views["queue_trend"], before.request)


def test_a_model_is_loaded_with_the_definitions_that_it_was_trained_on(changed):
    platform = changed(*WIDER, (LAMBDA, '        "weight": request["weight"] * 2,\n'))
    model = ServedModel(champion(platform), platform.models, platform.problem, platform.online)
    assert refusals(platform) == ""
    (_, own), (_, today) = model.problem.views, platform.problem.views
    assert (own.lookback, today.lookback) == (timedelta(hours=3), timedelta(hours=4))
    assert own.versioned_name == f"queue_trend_{model.manifest.feature_versions.views['queue_trend']}"
    fields = {"depot": ["lyon"], "weight": np.array([2.0]), "asked_at": np.array(["2024-02-25"], "datetime64[us]")}
    assert model.problem.request_features.compute(fields)["weight"][0] == 2.0
    assert platform.problem.request_features.compute(fields)["weight"][0] == 4.0


def test_a_policy_for_a_store_that_does_not_answer_is_of_today(changed):
    policy = '[serving.views.queue]\nunreachable = "as-missing"\n\n[gates.absolute_quality]'
    platform = changed(("[gates.absolute_quality]", policy))
    model = ServedModel(champion(platform), platform.models, platform.problem, platform.online)
    assert model.problem.config.serving.outlasts("queue")
    assert not model.problem.config.serving.outlasts("queue_trend")


def test_the_defaults_of_a_model_are_its_own(changed):
    platform = changed(
        ("[gates.absolute_quality]", '[serving.views.queue]\nmissing = "reject"\n\n[gates.absolute_quality]')
    )
    model = ServedModel(champion(platform), platform.models, platform.problem, platform.online)
    assert model.problem.config.serving.defaults == {}
    assert model.problem.config.serving.rejects("queue")  # a policy of the service, not of the model
    manifest = model.manifest.model_copy(
        update={"feature_versions": model.manifest.feature_versions.model_copy(update={"defaults": {"queue_now": 7.0}})}
    )
    own = carried.load(
        platform.problem,
        carried.sources(platform.problem),
        manifest.feature_versions.model_copy(update={"module": f"{platform.problem.package}.features"}),
    )
    assert own.config.serving.defaults == {"queue_now": 7.0}


# ---- what cannot be served, and why -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([('depot = { type = "string" }\n', 'depot = { type = "string" }\nlane = { type = "string" }\n')], ""),
        ([("queue = { type", "length = { type")], "the SQL of feature view 'queue_trend' fails"),
        ([("[tables.scans]", "[tables.gates]"), ("[tables.scans.columns]", "[tables.gates.columns]")], "no table 'scans'"),
        ([('weight = { type = "float", min = 0, max = 200', 'kilos = { type = "float", min = 0, max = 200')], "'weight', which requests do not carry"),
        ([('weight = { type = "float", min = 0, max = 200, nullable = true }', 'weight = { type = "string" }')], "'weight' as float, and requests carry it as string"),
        ([('depot = { type = "string", values = ["berlin", "lyon", "porto"] }', 'depot = { type = "string", personal = true }')], "is personal"),
    ],
)  # fmt: skip
def test_what_does_not_fit_todays_tables_and_requests_is_told_by_name(released, tmp_path, monkeypatch, changes, told):
    monkeypatch.syspath_prepend(tmp_path)
    text = (tmp_path / edited(tmp_path) / "problem.toml").read_text()
    for before, after in changes:
        text = text.replace(before, after, 1)
    name = edited(tmp_path)
    (tmp_path / name / "problem.toml").write_text(text)
    found = refusals(make_platform(released.home, name))
    assert told in found
    assert bool(found) == bool(told)
    assert "Traceback" not in found


def test_a_library_that_is_not_installed_is_named(changed, monkeypatch):
    platform = changed()
    monkeypatch.setattr(carried, "_loaded", {})
    for name in [name for name in sys.modules if name.startswith("carried_features_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "import 'pandas', which is not installed here" in refusals(platform)


def stored(platform, **changed_files):
    """Store the champion again with other files beside it; return it."""
    manifest = platform.models.manifest(champion(platform).model)
    files = {name: platform.models.file(manifest.sha256(), name) for name in manifest.files}
    given = {f"features/{name.replace('__', '/')}.py": data.encode() for name, data in changed_files.items()}
    files |= given
    update = {"files": {name: sha256(data).hexdigest() for name, data in files.items()}}
    digest, version = platform.models.put(manifest.model_copy(update=update), files)
    return Variant(model=digest, version=version)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import tests.other", "tests.other does not travel with the model"),
        ("from tests.problems import other", "cannot import 'other' from tests.problems"),
        ("import no_such_library.inside", "import 'no_such_library', which is not installed here"),
        ("VIEWS = (", "SyntaxError"),
        ("VIEWS = ()", "KeyError"),
        ("open(__file__)", "FileNotFoundError"),
    ],
)
def test_definitions_that_do_not_load_are_told(released, code, told):
    variant = stored(released, tests__problems__late__features=code)
    (found,) = servable(released.models, variant, released.problem)
    assert told in found


def test_a_source_that_was_changed_is_not_run(released):
    key = f"models/{champion(released).model}/features/tests/problems/parcels.py"
    released.objects.write(key, b"raise SystemExit('run')")
    assert "was tampered with" in refusals(released)


# ---- imports ----------------------------------------------------------------------------------------------------

KINDS = {
    "features/shop/__init__.py": "LIMIT = 1",
    "features/shop/features.py": """
import numpy as np
import shop.inner.deep
import shop.inner.deep as deep
from shop import LIMIT, inner, stars
from shop.stars import *
from . import inner as same
from .inner import deep as again
from .inner.deep import value as imported

def lazily():
    from shop.later import number
    return number

VIEWS = ()
FOUND = [LIMIT, shop.inner.deep.value(), deep.value(), same is inner, again is deep, imported(), STAR, np.int64(3)]
""",
    "features/shop/inner/__init__.py": "",
    "features/shop/inner/deep.py": "from ..stars import STAR\ndef value(): return STAR + 1",
    "features/shop/stars.py": "STAR = 5",
    "features/shop/later.py": "number = 9",
}


def test_every_kind_of_import_finds_the_carried_modules(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("LIMIT = 'that of today'")
    one = carried._Modules("one", "shop", {name: text.encode() for name, text in KINDS.items()}).load("shop.features")
    assert one.FOUND == [1, 6, 6, True, True, 6, 5, 3]
    assert one.lazily() == 9
    other = {name: text.replace("STAR = 5", "STAR = 6").encode() for name, text in KINDS.items()}
    assert carried._Modules("other", "shop", other).load("shop.features").FOUND[1:3] == [7, 7]
    assert one.FOUND[1] == 6
    assert "shop" not in sys.modules


def test_what_travels_is_what_the_features_import(released):
    manifest = released.models.manifest(champion(released).model)
    assert manifest.feature_versions.module == "tests.problems.late.features"
    names = ["__init__", "problems/__init__", "problems/late/__init__", "problems/late/features", "problems/parcels"]
    assert [name for name in manifest.files if name.startswith("features/")] == [
        f"features/tests/{name}.py" for name in names
    ]

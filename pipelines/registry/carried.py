"""Feature definitions that travel with a model: the source of the problem's ``features.py`` and of what it imports.

``models/<digest>/features/…`` are files of the model like its ONNX file, so the manifest vouches for each by its
SHA-256. They are loaded under names of their own, beside whatever ``model/`` is today: an import of a module of the
problem's package gets the carried one, and no other; every other import is the engine's and the image's.
"""

import builtins
import dataclasses
import hashlib
import importlib.util
import linecache
import sys
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pipelines.config import Definitions, FeatureVersions, Manifest, Problem, UserError
from pipelines.config.meaning import modules_of, package_sources
from pipelines.registry.model_store import ModelStore

FOLDER = "features/"

_NAMESPACE = "carried_features_"
_loaded: dict[str, "_Modules"] = {}
_loading = threading.RLock()  # a module that another thread is running is not there yet


def sources(problem: Problem) -> dict[str, bytes]:
    """Return the files to store with a model that is trained on today's definitions, by their names there."""
    module = _module(problem)
    files = {}
    for name, path in modules_of(module, package_sources(module)).items():
        package = "/__init__" if path.name == "__init__.py" else ""
        files[f"{FOLDER}{name.replace('.', '/')}{package}.py"] = path.read_bytes()
    return files


def versions(problem: Problem) -> FeatureVersions:
    """Return the versions of today's definitions, for the manifest of a model that is trained on them."""
    return FeatureVersions(
        views={view.name: view.version for view in problem.views},
        request=problem.request_features.version,
        defaults=dict(problem.config.serving.defaults),
        module=_module(problem),
    )


def trained(problem: Problem, models: ModelStore, manifest: Manifest) -> Problem:
    """Return the problem with the feature definitions that a model was trained on, from the model's own files.

    Raises:
        UserError: when they do not load here, or do not fit the tables and requests of today.
    """
    given = manifest.feature_versions
    if not given.module:
        return _uncarried(problem, given)
    digest = manifest.sha256()
    return load(problem, {name: models.file(digest, name) for name in manifest.files if name.startswith(FOLDER)}, given)


def load(problem: Problem, files: Mapping[str, bytes], given: FeatureVersions) -> Problem:
    """Return the problem with the definitions of these files, of the versions given; errors as :func:`trained`."""
    identity = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    modules = _loaded.setdefault(identity, _Modules(identity, given.module.partition(".")[0], files))
    try:
        module = modules.load(given.module)
        views = {view.name: view for view in module.VIEWS}
        pinned = tuple(_pinned(views[name], version) for name, version in given.views.items())
        request = _pinned(module.REQUEST_FEATURES, given.request)
    except ModuleNotFoundError as error:
        raise UserError(
            f"its features import {error.name!r}, which is not installed here; add it to the image"
        ) from error
    except Exception as error:  # whatever the code of another day does
        raise UserError(f"its feature definitions do not load here: {type(error).__name__}: {error}") from error
    own = problem.trained_on(Definitions(pinned, request), given.defaults)
    _ = own.features  # what does not fit today's tables and requests is told now
    return own


def _pinned(definition: Any, version: str) -> Any:
    return dataclasses.replace(definition, pinned=version)


def _module(problem: Problem) -> str:
    return f"{problem.package}.features"


def _uncarried(problem: Problem, given: FeatureVersions) -> Problem:
    today = versions(problem)
    if today.model_copy(update={"module": ""}) != given:
        raise UserError("it carries no feature definitions, and those of today are others: train it anew")
    return problem


class _Modules:
    """The modules of one set of files, each run once, when it is first imported."""

    def __init__(self, identity: str, package: str, files: Mapping[str, bytes]) -> None:
        self._prefix, self._package = f"{_NAMESPACE}{identity}.", package
        self._files = files
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, name: str) -> ModuleType:
        """Return a module by the name that it had in its repository, its packages run before it as Python does."""
        with _loading:
            return sys.modules.get(self._prefix + name) or self._load(name)

    def _load(self, name: str) -> ModuleType:
        parent, _, last = name.rpartition(".")
        if parent:
            self.load(parent)
        path = f"{FOLDER}{name.replace('.', '/')}"
        found = next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in self._files), None)
        if found is None and not any(file.startswith(f"{path}/") for file in self._files):
            raise ImportError(f"{name} does not travel with the model; only what features.py imports by statement does")
        module = self._run(name, found)
        if parent:
            setattr(sys.modules[self._prefix + parent], last, module)
        return module

    def _run(self, name: str, file: str | None) -> ModuleType:
        module = ModuleType(self._prefix + name)
        module.__dict__["__builtins__"] = self._builtins
        is_package = file is None or file.endswith("/__init__.py")
        module.__package__ = module.__name__ if is_package else module.__name__.rpartition(".")[0]
        if is_package:
            module.__path__ = []
        sys.modules[module.__name__] = module
        try:
            if file is not None:
                source, place = self._files[file], f"{self._prefix}{file}"
                module.__file__ = place
                text = importlib.util.decode_source(source)
                linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)  # for tracebacks
                exec(compile(source, place, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  (verified)
        except BaseException:
            del sys.modules[module.__name__]
            raise
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  (named as Python names them)
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import as the statement does: what is of the problem's package from the files, all else as ever."""
        if level:
            package = str((globals or {}).get("__package__", "")).removeprefix(self._prefix)
            name = importlib.util.resolve_name("." * level + name, package)
        if name.partition(".")[0] != self._package:
            return __import__(name, globals, locals, fromlist or (), 0)
        module = self.load(name)
        if not fromlist:
            return self.load(self._package)
        for item in fromlist:
            if not hasattr(module, item) and item != "*":
                try:
                    self.load(f"{name}.{item}")
                except ImportError as error:
                    raise ImportError(f"cannot import {item!r} from {name}: {error}") from error
        return module

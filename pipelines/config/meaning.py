"""What SQL and Python mean, as text that no layout, comment, docstring, type hint or version of Python changes.

The text of a function holds its syntax tree and, of the package that it is in, everything that it refers to: helpers,
constants, classes, imports. Of other packages only the names are in it. Needs nothing but the standard library, so
that any Python can be asked whether it agrees.
"""

import ast
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

Sources = Callable[[str], Path | None]
"""Returns the file of a module by its dotted name, or None where it is none of the package."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_IGNORED = frozenset({"ctx", "kind", "type_comment"})
_SQL = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<verbatim>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<dollar>\$\w*\$).*?(?P=dollar))
    |(?P<word>\w+|.)""",
    re.VERBOSE | re.DOTALL,
)


def sql_text(sql: str) -> str:
    """Return SQL without comments and layout, in lower case but for what is quoted: nothing else has a case in it."""
    tokens = [match for match in _SQL.finditer(sql) if match.lastgroup != "skip"]
    texts = [match["verbatim"] or match["word"].lower() for match in tokens]
    while texts and texts[-1] == ";":
        texts.pop()
    return " ".join(texts)


def function_text(function: Callable[..., Any]) -> str:
    """Return the meaning of a function.

    Raises:
        ValueError: when it has no source, or holds a value that has no text of its own.
    """
    whole = function.func if isinstance(function, partial) else function
    return _value(function, str(getattr(whole, "__module__", "")).partition(".")[0])


def named_text(module: str, name: str, sources: Sources) -> str:
    """Return the meaning of what a module of these sources binds to a name, without importing it."""
    graph = _Graph(sources)
    if not graph.refer(module, name):
        raise ValueError(f"{module} defines no {name}")
    return graph.text()


def modules_of(module: str, sources: Sources) -> dict[str, Path]:
    """Return the files of a module, of those of its package that it imports, and of the packages that they are in."""
    found: dict[str, Path] = {}
    waiting = _prefixes(module)
    while waiting:
        name = waiting.pop()
        path = None if name in found else sources(name)
        if path is not None:
            found[name] = path
            waiting += [prefix for imported in _imported(_Module(name, path)) for prefix in _prefixes(imported)]
    return dict(sorted(found.items()))


def package_sources(module: str) -> Sources:
    """Return the files of the top-level package that a module is in, as this Python imports them."""
    root = module.partition(".")[0]
    return lambda name: _file(name) if name.partition(".")[0] == root else None


def _file(module: str) -> Path | None:
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):  # no such module; or what is before the last dot is no package
            return None
        loaded = spec.origin if spec and spec.has_location else None
    return Path(loaded) if loaded and loaded.endswith(".py") else None


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


# ---- values -----------------------------------------------------------------------------------------------------


_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, date, time, timedelta)


def _value(value: Any, package: str) -> str:
    """Return the text of a function of this package, or of what one holds: constants, containers, other functions."""

    def several(values: Iterable[Any]) -> list[str]:
        return [_value(one, package) for one in values]

    if isinstance(value, (Enum, *_CONSTANTS)):
        return f"{type(value).__qualname__}.{value.name}" if isinstance(value, Enum) else ascii(value)
    if isinstance(value, Mapping):
        return f"dict({','.join(several(value.items()))})"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({','.join(several(value))})"
    if isinstance(value, (set, frozenset)):
        return f"set({','.join(sorted(several(value)))})"
    if isinstance(value, partial):
        return f"partial({','.join(several([value.func, value.args, value.keywords]))})"
    return _function(value, package)


def _function(value: Any, package: str) -> str:
    """Return the text of a function of this package, or the name of another's; errors as :func:`function_text`."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is None or name is None or isinstance(value, MethodType):
        raise ValueError(f"{value!r} holds a state that has no text; write a function, or make it a module's constant")
    if module.partition(".")[0] != package:
        return f"{module}.{name}"
    graph = _Graph(package_sources(module))
    if getattr(sys.modules.get(module), name, None) is value:
        graph.refer(module, name)
        return graph.text()
    if not isinstance(value, FunctionType):
        raise ValueError(f"{value!r} has no text of its own; make it a constant of a module")
    cells = dict(zip(value.__code__.co_freevars, (cell.cell_contents for cell in value.__closure__ or ()), strict=True))
    graph.function(module, value.__code__.co_firstlineno, frozenset(cells))
    return "\n".join(
        [graph.text(), *(_value(held, package) for held in (cells, value.__defaults__, value.__kwdefaults__))]
    )


# ---- modules ----------------------------------------------------------------------------------------------------


class _Module:
    """A module of the package: its statements without what means nothing, by the names that they bind."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree without docstrings, hints and the like."""
        tree: ast.Module = _Plain().visit(ast.parse(self._path.read_text(encoding="utf-8")))
        return tree

    @cached_property
    def bindings(self) -> Mapping[str, list[ast.stmt]]:
        """The statements that bind each name, in their order."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in _stored([statement]):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def actions(self) -> list[ast.stmt]:
        """The statements that do more than bind names, such as a call, so that all of the module depends on them."""
        return [statement for statement in self.tree.body if any(map(_acts, _same_scope([statement])))]

    @cached_property
    def stars(self) -> list[str]:
        """The modules all of whose names are imported."""
        imports = (statement for statement in self.tree.body if isinstance(statement, ast.ImportFrom))
        return [self.absolute(statement) for statement in imports if statement.names[0].name == "*"]

    def absolute(self, statement: ast.ImportFrom) -> str:
        """Return the module that an import names, without dots before it."""
        if not statement.level:
            return statement.module or ""
        parts = self.name.split(".")
        kept = len(parts) - statement.level + (self._path.name == "__init__.py")
        return ".".join([*parts[:kept], *filter(None, [statement.module])])


class _Plain(ast.NodeTransformer):
    """Takes out what does not change what a program computes: docstrings and other idle statements, type hints."""

    def visit(self, node: ast.AST) -> Any:
        node = super().visit(node)
        if isinstance(node, ast.stmt) and _idle(node):
            return None
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)) and not getattr(node, "decorator_list", None):
            for argument in ast.walk(node.args):  # a decorator may read the hints; nothing else does
                if isinstance(argument, ast.arg):
                    argument.annotation = None
            if isinstance(node, _FUNCTIONS):
                node.returns = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Keep the hints of a class's own names: a dataclass is made of them."""
        hints = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
        kept = {id(statement) for statement in hints}
        node.body = [one for part in node.body for one in [part if id(part) in kept else self.visit(part)] if one]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Take an assignment without its hint."""
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


def _idle(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def _acts(node: ast.AST) -> bool:
    changed = isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load)
    return changed or isinstance(node, ast.Expr)


def _imported(module: _Module) -> Iterator[str]:
    """Yield the dotted path of everything that a module imports, anywhere in it."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.absolute(node)
            yield from (base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names)


# ---- scopes -----------------------------------------------------------------------------------------------------


def _same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield nodes and what is below them, without the insides of functions, classes and comprehensions."""
    for node in nodes:
        yield node
        if isinstance(node, _COMPREHENSIONS):
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            yield from _same_scope(ast.iter_child_nodes(node))


def _stored(nodes: Iterable[ast.AST]) -> dict[str, None]:
    """Return the names that statements bind in their own scope, in order."""
    names: dict[str, None] = {}
    elsewhere: set[str] = set()
    for node in _same_scope(nodes):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.NamedExpr(target=ast.Name(id=name)):
                names[name] = None
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names[name] = None
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= dict.fromkeys(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names[name] = None
            case ast.MatchMapping(rest=str(name)):
                names[name] = None
            case ast.Global(names=given) | ast.Nonlocal(names=given):
                elsewhere |= set(given)
    return {name: None for name in names if name not in elsewhere}


def _references(node: ast.AST, bound: frozenset[str]) -> Iterator["str | ast.Import | ast.ImportFrom"]:
    """Yield the dotted names that a node reads from around it, and the imports within it, in order."""
    match node:
        case ast.Import() | ast.ImportFrom():
            yield node
            return
        case ast.Name(id=name, ctx=ast.Load()):
            yield from () if name in bound else (name,)
            return
        case ast.Attribute() if (dotted := _dotted(node)) is not None:
            yield from () if dotted.partition(".")[0] in bound else (dotted,)
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            yield from _below([*getattr(node, "decorator_list", ()), node.args], bound)
            body = node.body if isinstance(node.body, list) else [node.body]
            arguments = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
            yield from _below(
                [*filter(None, [getattr(node, "returns", None)]), *body], bound | arguments | {*_stored(body)}
            )
            return
        case ast.ClassDef():
            yield from _below([*node.decorator_list, *node.bases, *node.keywords], bound)
            inner = bound | {*_stored(node.body)}
            for statement in node.body:
                yield from _references(statement, bound if isinstance(statement, _FUNCTIONS) else inner)
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _references(node.generators[0].iter, bound)
            inner = bound | {*_stored([generator.target for generator in node.generators])}
            yield from _below(ast.iter_child_nodes(node), inner)
            return
    yield from _below(ast.iter_child_nodes(node), bound)


def _below(nodes: Iterable[ast.AST], bound: frozenset[str]) -> Iterator["str | ast.Import | ast.ImportFrom"]:
    for node in nodes:
        yield from _references(node, bound)


def _dotted(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            before = _dotted(value)
            return before and f"{before}.{name}"
    return None


# ---- the graph of what refers to what ------------------------------------------------------------------------------


class _Graph:
    """Statements and what they refer to, each once, numbered in the order in which they are come upon.

    Names of modules are not in it, so that a helper may move from one to another.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._modules: dict[str, _Module | None] = {}
        self._numbers: dict[object, int] = {}
        self._lines: dict[int, str] = {}

    def text(self) -> str:
        """Return all of it."""
        return "\n".join(self._lines[number] for number in sorted(self._lines))

    def function(self, module: str, line: int, held: frozenset[str]) -> None:
        """Add the functions that begin on a line of a module; ``held`` names what they have from those around them."""
        found = self._module(module)
        nodes = [node for node in ast.walk(found.tree) if _first_line(node) == line] if found else []
        if found is None or not nodes:
            raise ValueError(f"no source of {module} has a function on line {line}; define it in a module, as a file")
        for node in nodes:
            self._node(found, node, held)

    def refer(self, module: str, dotted: str) -> list[int]:
        """Add what a dotted name in a module refers to, and return its numbers; none for what is built in."""
        found = self._module(module)
        name, _, rest = dotted.partition(".")
        if found is None:
            return []
        if name not in found.bindings:
            return [number for base in found.stars for number in self.refer(base, dotted)]
        numbers = []
        for statement in found.bindings[name]:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                numbers += [one for path in _paths(found, statement, name, rest) for one in self._path(path)]
            else:
                numbers.append(self._node(found, statement))
        return numbers

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            path = self._sources(name)
            self._modules[name] = found = None if path is None else _Module(name, path)
            if found is not None:
                for statement in found.actions:
                    self._node(found, statement)
        return self._modules[name]

    def _node(self, module: _Module, node: ast.AST, bound: frozenset[str] = frozenset()) -> int:
        if id(node) in self._numbers:
            return self._numbers[id(node)]
        number = self._add(id(node), "")
        told = {}
        for reference in _references(node, bound):
            if isinstance(reference, str):
                told[reference] = self.refer(module.name, reference)
            else:
                told |= {path: self._path(path) for path in _paths(module, reference)}
        names = "".join(f" {name}={numbers}" for name, numbers in told.items() if numbers)
        self._lines[number] = f"{_text(node)}{names}"
        return number

    def _path(self, path: str) -> list[int]:
        """Add what a path from the root refers to: something of the package's modules, or another package's name."""
        parts = path.split(".")
        for count in range(len(parts), 0, -1):
            found = self._module(".".join(parts[:count]))
            if found and count < len(parts):
                return self.refer(found.name, ".".join(parts[count:]))
            if found:
                return [self._node(found, statement) for statement in found.tree.body]  # the module itself is a value
        return [self._numbers[path] if path in self._numbers else self._add(path, f"import {path}")]

    def _add(self, key: object, line: str) -> int:
        self._numbers[key] = number = len(self._numbers)
        self._lines[number] = line
        return number


def _paths(
    module: _Module, statement: ast.Import | ast.ImportFrom, name: str | None = None, rest: str = ""
) -> Iterator[str]:
    """Yield the paths from the root that an import names; of one bound name alone, with the attributes after it."""
    for alias in statement.names:
        bound = alias.asname or alias.name.partition(".")[0]
        if name not in (None, bound):
            continue
        if isinstance(statement, ast.ImportFrom):
            path = f"{module.absolute(statement)}.{alias.name}"
        else:
            path = alias.name if alias.asname or name is None else bound
        known = path.partition(".")[0] == module.name.partition(".")[0]
        yield f"{path}.{rest}" if rest and known else path


def _first_line(node: ast.AST) -> int | None:
    if isinstance(node, _FUNCTIONS) and node.decorator_list:
        return node.decorator_list[0].lineno
    return node.lineno if isinstance(node, (*_FUNCTIONS, ast.Lambda)) else None


# ---- syntax as text -------------------------------------------------------------------------------------------------


def _text(node: Any) -> str:
    """Return a syntax tree as text: each field that is there, without positions, in the ASCII of any Unicode."""
    if isinstance(node, ast.JoinedStr):
        parts = _joined(node.values)
        if not parts or (len(parts) == 1 and isinstance(parts[0], str)):
            return _text(ast.Constant("".join(parts)))
        return f"JoinedStr({','.join(map(_text, parts))})"
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in sorted(node._fields) if name not in _IGNORED)
        told = [f"{name}={_text(field)}" for name, field in fields if field is not None and field != []]
        return f"{type(node).__name__}({','.join(told)})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return ascii(node)


def _joined(values: list[ast.expr]) -> list[Any]:
    """Return the parts of a formatted string, neighbouring constants made one, which Pythons cut differently."""
    parts: list[Any] = []
    for value in values:
        if not isinstance(value, ast.Constant):
            parts.append(value)
        elif parts and isinstance(parts[-1], str):
            parts[-1] += str(value.value)
        elif value.value:
            parts.append(str(value.value))
    return parts

"""``make update``: brings a newer template into a project that was made from it.

cruft merges the files of the engine line by line. ``pyproject.toml`` is the engine's and the team's at once, and broken
by a conflict it would stop uv and with it every command. So it is merged here by its keys, and ``uv.lock`` made anew.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit

from pipelines.config.errors import UserError

YOURS = {f"project.{key}" for key in ("name", "version", "description", "authors", "license", "urls")}
"""What is the team's alone: the template's own says nothing to it."""
PROJECT, LOCK, MEMORY = "pyproject.toml", "uv.lock", ".cruft.json"


class Clash(NamedTuple):
    """A key that the team and the template changed to different values; the team's stays."""

    key: str
    ours: Any
    theirs: Any


def merged(before: str, ours: str, theirs: str) -> tuple[str, list[Clash]]:
    """Return a TOML document with the changes of both sides since ``before``, and where they clash.

    Tables are merged key by key, lists entry by entry; the form and the comments are those of ``theirs``.
    """
    document = tomlkit.parse(theirs)
    clashes = list(_merge(tomlkit.parse(before).unwrap(), tomlkit.parse(ours).unwrap(), document, ""))
    return tomlkit.dumps(document), clashes


def _merge(
    before: dict[str, Any], ours: dict[str, Any], theirs: MutableMapping[str, Any], place: str
) -> Iterator[Clash]:
    for key in (*ours, *(key for key in before if key not in ours)):
        was, own, new = before.get(key), ours.get(key), theirs.get(key)
        if own in (was, new):
            continue
        if isinstance(own, dict) and isinstance(new, MutableMapping):
            yield from _merge(was if isinstance(was, dict) else {}, own, new, f"{place}{key}.")
        elif isinstance(own, list) and isinstance(new, list) and isinstance(was, list):
            for entry in [one for one in own if one not in was and one not in new]:
                new.append(entry)
            for entry in [one for one in was if one not in own and one in new]:
                new.remove(entry)
        else:
            if new != was and f"{place}{key}" not in YOURS:
                yield Clash(f"{place}{key}", own, new)
            if own is None:
                theirs.pop(key, None)
            else:
                theirs[key] = own


def update(root: Path, arguments: Sequence[str], uv: str = "uv") -> list[str]:
    """Update a project; ``arguments`` go to cruft. Returns what is left to a person, a line each.

    Raises:
        UserError: where cruft does not know the project, or refuses, such as with changes that are not committed.
    """
    memory, ours = root / MEMORY, (root / PROJECT).read_text(encoding="utf-8")
    if not memory.exists():
        raise UserError(f"there is no {MEMORY}; 'uv run cruft link ADDRESS' makes it: docs/template.md")
    before = json.loads(memory.read_text(encoding="utf-8"))
    _run([sys.executable, "-m", "cruft", "update", "--skip-apply-ask", *arguments], root, "cruft refuses")
    after = json.loads(memory.read_text(encoding="utf-8"))
    if after["commit"] == before["commit"]:
        return []
    with tempfile.TemporaryDirectory() as folder:
        clone = ["git", "clone", "--quiet", "--no-checkout", after["template"], folder]
        _run(clone, root, "git does not get the template")

        def at(commit: str, name: str) -> str:
            return _run(["git", "-C", folder, "show", f"{commit}:{name}"], root, f"the template has no {name}")

        theirs = at(after["commit"], PROJECT)
        text, clashes = merged(at(before["commit"], PROJECT), ours, theirs)
        lock = at(after["commit"], LOCK)
    (root / PROJECT).write_text(text, encoding="utf-8")
    name, own = (tomlkit.parse(one).unwrap()["project"]["name"] for one in (theirs, text))
    (root / LOCK).write_text(lock.replace(f'name = "{name}"', f'name = "{own}"', 1), encoding="utf-8")
    left = [f"{PROJECT}: {one.key} stays {one.ours!r}; the template has {one.theirs!r} now" for one in clashes]
    left += [f"{path.relative_to(root)}: merge what it holds, then delete it" for path in sorted(root.rglob("*.rej"))]
    if subprocess.run([uv, "lock", "--quiet"], cwd=root, check=False).returncode:
        left.append(f"{LOCK}: 'uv lock' failed; run it again, then commit what it writes")
    return left


def _run(command: list[str], root: Path, refused: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{refused}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


if __name__ == "__main__":
    try:
        remaining = update(Path.cwd(), sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    sys.stdout.writelines(f"{line}\n" for line in [*remaining, "updated; look at 'git diff', run 'make check test'"])
    sys.exit(3 if remaining else 0)

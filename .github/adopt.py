"""Puts the workflows of a project in a folder of somebody's repository where GitHub reads them: ``make adopt``.

GitHub reads ``.github/workflows`` of the repository's root alone. Each workflow becomes a new file there, named for the
folder, whose jobs work in the folder; nothing that is there is changed. Runs on any Python with its standard library.
"""

import re
import subprocess
import sys
from pathlib import Path

ACTIONS, WORKFLOWS, OWNERS = ".github/actions", ".github/workflows", ".github/CODEOWNERS"


def adopted(text: str, folder: str) -> str:
    """Return a workflow whose jobs work in a folder of the repository."""
    for pattern, put in (
        (r"^name: ", f"name: {folder} "),
        (r"^permissions: \{\}$", f"permissions: {{}}\n\ndefaults:\n  run:\n    working-directory: {folder}"),
        (r"uses: \./\.github/actions/", f"uses: ./{folder}/{ACTIONS}/"),
        (r"uses: \./\.github/workflows/", f"uses: ./{WORKFLOWS}/{folder}-"),
        (r"^(\s+)group: ", rf"\1group: {folder}-"),
        (r"^(\s+)path: ", rf"\1path: {folder}/"),
        (r'^(\s+paths: \[")', rf"\1{folder}/"),
    ):
        text = re.sub(pattern, put, text, flags=re.MULTILINE)

    def prefixed(found: re.Match[str]) -> str:
        return found[1] + re.sub(r"(?m)^(\s+- )", rf"\1{folder}/", found[2])

    return re.sub(r"(\n +paths:\n)((?: +- .+\n)+)", prefixed, text)


def in_folder(action: str, folder: str) -> str:
    """Return an action whose commands work in a folder: a workflow's ``defaults`` do not reach them."""
    return re.sub(r"^(\s+)shell: bash$", rf"\1shell: bash\n\1working-directory: {folder}", action, flags=re.MULTILINE)


def main() -> int:
    """Write the workflows, and print what a person adds to files of theirs; 1 where anything is in the way."""
    here = Path.cwd()
    shown = subprocess.run(["git", "rev-parse", "--show-prefix"], capture_output=True, text=True, check=False)
    folder = shown.stdout.strip().rstrip("/")
    if shown.returncode or not folder or "/" in folder:
        print("Run this in a project that lies in a folder of the root of a git repository; docs/adopt.md.")  # noqa: T201
        return 1
    root = here.parent
    made = {
        root / WORKFLOWS / f"{folder}-{path.name}": adopted(path.read_text(encoding="utf-8"), folder)
        for path in sorted((here / WORKFLOWS).glob("*.yml"))
    }
    if there := [path for path in made if path.exists()]:
        print(f"Nothing was changed: {', '.join(str(path.relative_to(root)) for path in there)} exist already.")  # noqa: T201
        return 1
    (root / WORKFLOWS).mkdir(parents=True, exist_ok=True)
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    for path in (here / ACTIONS).glob("*/action.yml"):
        path.write_text(in_folder(path.read_text(encoding="utf-8"), folder), encoding="utf-8")
    lines = [line for line in (here / OWNERS).read_text(encoding="utf-8").splitlines() if line.startswith("/")]
    print(f"{len(made)} workflows are in {WORKFLOWS}/. Yours to add, by review:")  # noqa: T201
    print(f"  {OWNERS}, its last lines:")  # noqa: T201
    for line in lines:
        print(f"    /{folder}{line}")  # noqa: T201
    print("  'required checks' to what a merge into your main branch waits for")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

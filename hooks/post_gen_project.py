"""Turns the copied files into the team's project: repairs links, drops the template's own files, fills answers in."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
PROJECT, SLUG, OWNER = Path.cwd(), ANSWERS["project_slug"], ANSWERS["github_owner"]


def quoted(name: str) -> str:
    """Return an answer as a TOML string."""
    return json.dumps(ANSWERS[name], ensure_ascii=False)


TITLE = SLUG.replace("-", " ").title()
README = f"""\
# {TITLE}

{ANSWERS["description"]}

An MLOps system ([its parts](docs/architecture.md)): a model moves forward only when it is shown to be better, every
step is on record, and one command turns it back.

```sh
make demo     # the whole loop on the problem's own data, in about a minute
make test     # the tests
make doctor   # what is left to set up
```

| To | read |
|---|---|
| state your own problem in `model/` | [docs/your-problem.md](docs/your-problem.md) |
| set up the environments on AWS | [docs/first-day.md](docs/first-day.md) |
| approve and take back releases | [docs/releases.md](docs/releases.md) |
| know what to do about an alarm | [docs/runbook.md](docs/runbook.md) |
| call the app | [docs/serving.md](docs/serving.md) |
| update the engine | [docs/template.md](docs/template.md) |

This page, `model/` and what else `ownership.toml` lists are yours; an update leaves them alone. The engine's licence is
Apache-2.0; [LICENSE](LICENSE) says what holds for the rest.
"""
OWN_LICENCES = {
    "proprietary": "All rights reserved. Nobody may use, copy, change or pass on this work without written permission.",
    "MIT": """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.""",
}
# What pyproject.toml says of the whole; an SPDX expression, https://spdx.github.io/spdx-spec/v3.0.1/annexes/spdx-license-expressions/
SPDX = {
    "proprietary": "Apache-2.0 AND LicenseRef-Proprietary",
    "Apache-2.0": "Apache-2.0",
    "MIT": "Apache-2.0 AND MIT",
}[ANSWERS["licence"]]


# In each file: the pattern of the reference project's text, and its replacement.
WRITTEN = {
    "README.md": [(r"(?s)\A.*\Z", README)],
    "pyproject.toml": [
        (r'(?<=^\[project\]\n)name = ".*"', f'name = "{SLUG}"'),
        (r'^description = ".*"', f"description = {quoted('description')}"),
        (r'^license = ".*"', f'license = "{SPDX}"'),
        (r"^authors = .*", "authors = [{ name = " + quoted("author_name") + ", email = " + quoted("email") + " }]"),
        (r"(?<=https://github\.com/)your-org/ratchet", f"{OWNER}/{SLUG}"),
    ],
    "uv.lock": [(r'^name = ".*"(?=\nversion = ".*"\nsource = \{ editable = "\." \})', f'name = "{SLUG}"')],
    ".github/CODEOWNERS": [
        (r"@your-org(?=/)", f"@{OWNER}"),
        (r"(?<=^/releases/          )@.*", ANSWERS["approvers"]),
    ],
    "cloud.toml": [
        (r'(?<=^region = ").*(?=")', ANSWERS["aws_region"]),
        (r"(?<=^monthly_budget = )\S+", ANSWERS["monthly_budget"]),
    ],
}


def git(*arguments: str, folder: Path = PROJECT) -> "subprocess.CompletedProcess[str]":
    """Run git in a folder, if there is one."""
    if not shutil.which("git"):
        return subprocess.CompletedProcess("git", 1, "", "git is not installed")
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False)


def template() -> "Path | None":
    """Return the template's folder, or None where cruft keeps it to itself; a relative one is seen from the user's."""
    for base in (ANSWERS.get("_output_dir", ""), os.environ.get("PWD", "")):
        found = Path(base, ANSWERS.get("_repo_dir", ""))
        if "_repo_dir" in ANSWERS and (found / "hooks/post_gen_project.py").is_file():
            return found
    if "_repo_dir" in ANSWERS:
        sys.exit(f"The template {ANSWERS['_repo_dir']} is not found from {PROJECT}; give its path from / on.")
    return None


def mend(source: "Path | None") -> None:
    """Fetch what arrived as the text of a link, as it does from a zip and on Windows."""
    for name in ANSWERS["_copy_without_render"]:
        path = PROJECT / name
        if path.is_file() and path.read_bytes() == f"../{name}".encode():
            if not source:
                sys.exit("Links arrived as text: 'git config --global core.symlinks true', then once more.")
            path.unlink()
            (shutil.copytree if (source / name).is_dir() else shutil.copy)(source / name, path)


def drop(source: "Path | None") -> None:
    """Delete what is the template's alone, and what its work tree holds that git does not track, such as caches.

    Only what was copied is looked at: a folder that had a ``.git`` of its own keeps it.
    """
    for name in ANSWERS["_template_only"]:
        path = PROJECT / name
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    if source and (source / ".git").exists():
        listed = git("ls-files", "-z", folder=source)
        if listed.returncode:
            sys.exit(f"git does not say which files of the template it tracks: {listed.stderr.strip()}")
        tracked = set(listed.stdout.split("\0"))
        for path in [path for path in files() if path.relative_to(PROJECT).as_posix() not in tracked]:
            path.unlink()
    for folder in sorted((path for path in copied() if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def copied() -> "list[Path]":
    """Return every file and folder that came from the template."""
    tops = [PROJECT / name for name in ANSWERS["_copy_without_render"]]
    return sorted(path for top in tops for path in (top, *top.rglob("*")) if path.exists())


def files() -> "list[Path]":
    """Return the files that came from the template."""
    return [path for path in copied() if path.is_file()]


def write() -> None:
    """Write the answers into the files, and let scripts be run, which a zip does not."""
    lock = (PROJECT / "uv.lock").read_text(encoding="utf-8")
    if re.search(WRITTEN["uv.lock"][0][0], lock, re.MULTILINE)[0][8:-1] != SLUG and f'\nname = "{SLUG}"\n' in lock:
        sys.exit(f"project_slug: {SLUG!r} is the name of a package that the project needs; choose another.")
    for name, pairs in WRITTEN.items():
        text = (PROJECT / name).read_bytes().decode()
        for pattern, stands in pairs:
            text, found = re.subn(pattern, lambda _, stands=stands: stands, text, flags=re.MULTILINE)
            assert found, f"{name} has nothing that matches {pattern}"
        if name == "uv.lock":  # the packages stand in the order of their names
            head, *packages = text.rstrip("\n").split("\n\n[[package]]\n")
            text = "\n\n[[package]]\n".join([head, *sorted(packages, key=lambda one: one.split('"')[1])]) + "\n"
        (PROJECT / name).write_bytes(text.encode())
    own = OWN_LICENCES.get(ANSWERS["licence"])
    if own:
        file = PROJECT / "LICENSE"
        head = f"Copyright (c) {ANSWERS['author_name']}\n\n{own}\n"
        engine = "The engine, which is the files that template.json lists, is under the licence below.\n"
        file.write_bytes(f"{head}\n{engine}\n{'-' * 80}\n\n".encode() + file.read_bytes())
    for path in files():
        if path.read_bytes()[:2] == b"#!":
            path.chmod(path.stat().st_mode | 0o111)


def record(source: "Path | None") -> None:
    """Write template.json: the commit of the template, and the SHA-256 of each file that came from it."""
    commit = ANSWERS.get("_commit")  # cruft's
    if source and (source / ".git").exists():
        commit = git("rev-parse", "HEAD", folder=source).stdout.strip()
    digests = {
        path.relative_to(PROJECT).as_posix(): hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        for path in files()
    }
    text = json.dumps({"commit": commit or None, "files": digests}, indent=1)
    (PROJECT / "template.json").write_bytes(f"{text}\n".encode())


def commit() -> str:
    """Start a repository with a first commit where that was asked for; return what is left to type for it."""
    by_hand = "git init -b main && git add --all && git commit -m 'Start from the template' && "
    if "_commit" in ANSWERS or not ANSWERS["init_git"]:  # cruft still has a file to add, and compares what is made here
        return by_hand
    # The workflows, the bootstrap and the docs say main, whatever git's own default is.
    for arguments in (["init", "-b", "main"], ["add", "--all"], ["commit", "-m", "Start from the template"]):
        done = git(*arguments)
        if done.returncode:
            sys.stderr.write(f"git {arguments[0]} failed: {(done.stderr or done.stdout).strip()}\n")
            return by_hand
    return ""


if __name__ == "__main__":
    SOURCE = template()
    mend(SOURCE)
    drop(SOURCE)
    write()
    record(SOURCE)
    # An update of cruft bakes both versions into folders for temporary files: nobody goes there.
    if "_commit" not in ANSWERS or PROJECT.parent.parent != Path(tempfile.gettempdir()).resolve():
        sys.stdout.write(
            f"{SLUG} is ready. Next:\n"
            f"  cd {SLUG} && {commit()}make demo\n"
            "  make doctor    # what is left to do\n"
            f"  gh repo create {OWNER}/{SLUG} --private --source . --push\n"
            "  docs/your-problem.md says how your own problem gets into model/\n"
        )

"""GitHub's API, as much of it as the project uses: a real HTTP server over a real git repository, which records calls.

Answers have the fields of the documented ones that PyGithub reads. A protected default branch merges a pull request as
GitHub does with this project's rules (:meth:`FakeGitHub.merge`). It knows no permissions of tokens: those are asserted on
the workflows themselves.
"""

import base64
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

REQUIRED_CHECK = "required checks"
NAME, MAIN, BOT = "acme/parcels", "main", "github-actions[bot]"
EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the tree without files, which git always knows
TIME = "2024-03-01T00:00:00Z"
IDENTITY = ["-c", "user.name=GitHub", "-c", "user.email=noreply@example.com"]


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    body: Any


class Problem(Exception):
    """An answer that says no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeGitHub:
    """The state: a bare repository, pull requests and issues under one numbering, and what was asked."""

    def __init__(self, bare: Path) -> None:
        self.bare, self.url, self.calls, self.protected = bare, "", [], False
        self.issues: dict[int, dict[str, Any]] = {}  # pull requests among them, which have a "head"
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.reviews: dict[int, list[dict[str, Any]]] = {}
        self.dispatches: list[dict[str, Any]] = []
        self.checks: dict[str, list[tuple[str, str, bool]]] = {}  # of a commit: event, name, whether it passed
        self.statuses: dict[str, dict[str, str]] = {}  # of a commit: state by context
        self.releases: dict[str, dict[str, Any]] = {}
        self.lock = threading.RLock()
        self.logins = {"noreply@example.com": BOT}
        self.teams = {"acme/engineers", "acme/owners"}
        self.members: dict[str, set[str]] = {"acme/engineers": {"ada"}, "acme/owners": {"grace"}}

    # ---- what people do -------------------------------------------------------------------------------------

    def pulls(self, state: str = "open", branch: str | None = None) -> list[dict[str, Any]]:
        found = [one for one in self.issues.values() if "head" in one and one["state"] == state]
        return [one for one in reversed(found) if branch in (None, one["head"]["ref"])]

    def open_issues(self) -> list[dict[str, Any]]:
        return [one for one in self.issues.values() if "head" not in one and one["state"] == "open"]

    def review(self, number: int, login: str, state: str = "APPROVED", kind: str = "User") -> None:
        head = self.git("rev-parse", self.issues[number]["head"]["ref"])
        word = {"id": 1, "user": user(login, kind), "state": state, "commit_id": head}
        self.reviews.setdefault(number, []).append(word)

    def merge(self, number: int, squash: bool = False) -> str:
        """Merge a pull request, as its button does, and return the commit on the default branch.

        A protected branch asks for the required check on the last commit, by a check run that belongs to the pull
        request or by a commit status, and for an approval of that commit by somebody who wrote none of it. Check runs
        of workflow_dispatch are on the commit and do not count:
        https://github.com/ThemeParks/ThemeParks_JavaScript/pull/37.
        https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/managing-protected-branches/about-protected-branches
        """
        pull = self.issues[number]
        head, main = self.git("rev-parse", pull["head"]["ref"]), self.git("rev-parse", MAIN)
        if self.protected:
            self._check_protection(number, head)
        tree = self.git("merge-tree", "--write-tree", main, head)
        parents = ["-p", main] if squash else ["-p", main, "-p", head]
        commit = self.git(*IDENTITY, "commit-tree", tree, *parents, "-m", f"{pull['title']} (#{number})")
        pull["commits"] = self.git("rev-list", f"{main}..{head}").split()
        pull["head"]["sha"] = head
        self.git("update-ref", f"refs/heads/{MAIN}", commit)
        pull |= {"state": "closed", "merged": True, "merged_at": TIME, "merge_commit_sha": commit}
        return commit

    def _check_protection(self, number: int, head: str) -> None:
        passed = self.statuses.get(head, {}).get(REQUIRED_CHECK) == "success"
        for event, name, good in self.checks.get(head, []):
            if name == REQUIRED_CHECK and event in ("pull_request", "push", "merge_group"):
                passed = good
        if not passed:
            raise Problem(405, f'Required status check "{REQUIRED_CHECK}" is expected.')
        wrote = {self.issues[number]["user"]["login"]}
        approved = {
            one["user"]["login"]
            for one in self.reviews.get(number, [])
            if one["state"] == "APPROVED" and one["commit_id"] == head and one["user"]["login"] not in wrote
        }
        if not approved & {*self.logins.values()}:
            raise Problem(405, "At least 1 approving review is required by reviewers with write access.")
        for path in self.git("diff", "--name-only", f"{MAIN}...{head}").splitlines():
            asked = self._asked(path)
            if asked and not approved & asked:
                raise Problem(405, f"Waiting on code owner review from {', '.join(sorted(asked))}.")

    def _asked(self, path: str) -> set[str]:
        """Return who must review a change of a path: the known ones of the last line of CODEOWNERS that fits it.

        An owner that GitHub does not know, or that may not write, is left out without a word, and with none left nobody
        in particular is asked:
        https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
        """
        named: list[str] = []
        for line in self.git("show", f"{MAIN}:.github/CODEOWNERS").splitlines():
            pattern, *owners = line.partition("#")[0].split() or [""]
            if pattern == "*" or (pattern.startswith("/") and f"/{path}".startswith(pattern)):
                named = [owner.removeprefix("@") for owner in owners]
        people = {one for one in named if one in self.logins.values()}
        return people.union(*(self.members.get(one, set()) for one in named if one in self.teams))

    def push(self, files: dict[str, str], branch: str = MAIN, who: str = "ada") -> str:
        """Change files of the default branch in one commit, make a branch be that, and return it."""
        try:
            base = [self.git("rev-parse", "--verify", f"refs/heads/{MAIN}")]
        except Problem:
            base = []
        elements = [{"path": path, "mode": "100644", "content": text} for path, text in files.items()]
        tree = self.make_tree({}, {"base_tree": base[0] if base else EMPTY, "tree": elements})["sha"]
        identity = ["-c", f"user.name={who}", "-c", f"user.email={who}@example.com"]
        parents = [text for parent in base for text in ("-p", parent)]
        commit = self.git(*identity, "commit-tree", tree, *parents, "-m", "a change")
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def git(self, *arguments: str, text: str | None = None) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.bare), *arguments], capture_output=True, text=True, input=text, check=False
        )
        if done.returncode:
            raise Problem(404, done.stderr)
        return done.stdout.strip()

    # ---- what the API answers -------------------------------------------------------------------------------

    def repository(self, *_: Any) -> Any:
        html = f"https://github.com/{NAME}"
        return {"html_url": html, "full_name": NAME, "name": "parcels", "default_branch": MAIN, "url": self.at("")}

    def branch(self, query: Any, body: Any, name: str) -> Any:
        sha = self._sha(f"refs/heads/{name}", "Branch not found")
        protected = self.protected and name == MAIN
        return {"name": name, "protected": protected, "commit": {"sha": sha, "url": self.at(f"/commits/{sha}")}}

    def contents(self, query: Any, body: Any, path: str) -> Any:
        ref = query.get("ref", MAIN)
        commit = self._sha(ref, f"No commit found for the ref {ref}")
        blob = self._sha(f"{commit}:{path}", "Not Found")
        data = subprocess.run(["git", "-C", str(self.bare), "cat-file", "blob", blob], capture_output=True, check=True)
        content = base64.b64encode(data.stdout).decode()
        return {"type": "file", "encoding": "base64", "path": path, "content": content, "sha": "0" * 40}

    def git_commit(self, query: Any, body: Any, sha: str) -> Any:
        tree, parents = (
            self.git("rev-parse", f"{sha}^{{tree}}"),
            self.git("rev-list", "--parents", "-1", sha).split()[1:],
        )
        tree = {"sha": tree, "url": self.at(f"/git/trees/{tree}")}
        return {
            "sha": sha,
            "url": self.at(f"/git/commits/{sha}"),
            "tree": tree,
            "parents": [{"sha": one} for one in parents],
        }

    def make_tree(self, query: Any, body: Any) -> Any:
        index = self.bare / f"index-{threading.get_ident()}"
        index.unlink(missing_ok=True)
        environ = ["env", f"GIT_INDEX_FILE={index}", "git", "-C", str(self.bare)]
        subprocess.run([*environ, "read-tree", body["base_tree"]], check=True)
        for one in body["tree"]:
            blob = self.git("hash-object", "-w", "--stdin", text=one["content"])
            subprocess.run(
                [*environ, "update-index", "--add", "--cacheinfo", f"{one['mode']},{blob},{one['path']}"], check=True
            )
        sha = subprocess.run([*environ, "write-tree"], check=True, capture_output=True, text=True).stdout.strip()
        index.unlink()
        return {"sha": sha, "url": self.at(f"/git/trees/{sha}"), "tree": []}

    def make_commit(self, query: Any, body: Any) -> Any:
        parents = [text for parent in body["parents"] for text in ("-p", parent)]
        sha = self.git(*IDENTITY, "commit-tree", body["tree"], *parents, "-m", body["message"])
        return self.git_commit(query, body, sha)

    def make_ref(self, query: Any, body: Any) -> Any:
        self.git("update-ref", body["ref"], body["sha"], "0" * 40)
        return {"ref": body["ref"], "url": self.at(f"/git/{body['ref']}"), "object": {"sha": body["sha"]}}

    def ref(self, query: Any, body: Any, name: str) -> Any:
        sha = self._sha(f"refs/heads/{name}", "Not Found")
        return {"ref": f"refs/heads/{name}", "url": self.at(f"/git/refs/heads/{name}"), "object": {"sha": sha}}

    def move_ref(self, query: Any, body: Any, name: str) -> Any:
        try:
            old = self.git("rev-parse", "--verify", f"refs/heads/{name}")
        except Problem as error:
            raise Problem(422, "Reference does not exist") from error
        if not body.get("force") and self.git("merge-base", old, body["sha"]) != old:
            raise Problem(422, "Update is not a fast forward")
        self.git("update-ref", f"refs/heads/{name}", body["sha"])
        return self.ref(query, body, name)

    def commits(self, query: Any, body: Any) -> Any:
        path = ["--", query["path"]] if "path" in query else []
        return [self.commit_of(sha) for sha in self.git("log", "--format=%H", query.get("sha", MAIN), *path).split()]

    def commit(self, query: Any, body: Any, sha: str) -> Any:
        return self.commit_of(self.git("rev-parse", "--verify", sha))

    def compare(self, query: Any, body: Any, base: str, head: str) -> Any:
        return {
            "url": self.at(f"/compare/{base}...{head}"),
            "merge_base_commit": self.commit_of(self.git("merge-base", base, head)),
        }

    def commit_of(self, sha: str) -> Any:
        login = self.logins.get(self.git("log", "-1", "--format=%ae", sha))
        parents = [{"sha": one} for one in self.git("log", "-1", "--format=%P", sha).split()]
        author = user(login) if login else None
        return {"sha": sha, "url": self.at(f"/commits/{sha}"), "author": author, "parents": parents}

    def owner_errors(self, query: Any, body: Any) -> Any:
        """Return a line for each owner in CODEOWNERS that is no person or team here.

        https://docs.github.com/en/rest/repos/repos#list-codeowners-errors; the words of an unknown owner as observed in
        https://gitlab.com/tanna.dev/jvt.me/-/issues/1322.
        """
        known = {f"@{name}" for name in (*self.logins.values(), *self.teams)}
        errors = []
        for number, line in enumerate(self.git("show", f"{MAIN}:.github/CODEOWNERS").splitlines(), 1):
            for owner in line.partition("#")[0].split()[1:]:
                if owner not in known:
                    told = f"make sure {owner} exists and has write access to the repository"
                    message = f"Unknown owner on line {number}: {told}\n\n  {line}\n    ^"
                    errors.append({
                        "line": number, "column": 1, "kind": "Unknown owner", "source": line, "suggestion": told,
                        "message": message, "path": ".github/CODEOWNERS",
                    })  # fmt: skip
        return {"errors": errors}

    def update_branch(self, number: int, login: str) -> str:
        """Merge main into the branch of a pull request as its button "Update branch" does, and return the commit.

        https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/proposing-changes-to-your-work-with-pull-requests/keeping-your-pull-request-in-sync-with-the-base-branch
        """
        branch = self.issues[number]["head"]["ref"]
        head, main = self.git("rev-parse", branch), self.git("rev-parse", MAIN)
        identity = ["-c", f"user.name={login}", "-c", f"user.email={login}@example.com"]
        tree = self.git("merge-tree", "--write-tree", head, main)
        commit = self.git(*identity, "commit-tree", tree, "-p", head, "-p", main, "-m", f"Merge {MAIN} into {branch}")
        self.git("update-ref", f"refs/heads/{branch}", commit)
        self.issues[number]["head"]["sha"] = commit
        return commit

    def commit_pulls(self, query: Any, body: Any, sha: str) -> Any:
        merged = [one for one in self.issues.values() if one.get("merged")]
        return [one for one in merged if sha == one["merge_commit_sha"] or sha in one["commits"]]

    def list_pulls(self, query: Any, body: Any) -> Any:
        return self.pulls(query.get("state", "open"), query["head"].partition(":")[2] if "head" in query else None)

    def make_pull(self, query: Any, body: Any) -> Any:
        if self.pulls("open", body["head"]):
            raise Problem(422, f"A pull request already exists for acme:{body['head']}.")
        sha = self.git("rev-parse", "--verify", f"refs/heads/{body['head']}")
        if sha == self.git("rev-parse", MAIN):
            raise Problem(422, "No commits between main and the branch")
        made = self._numbered(body["title"], body["body"], "pulls")
        made |= {"head": {"ref": body["head"], "sha": sha}, "base": {"ref": body["base"]}, "merged": False}
        return made | {"merged_at": None, "merge_commit_sha": None}

    def pull(self, query: Any, body: Any, number: str) -> Any:
        return self._numbered_or_404(number)

    def issue(self, query: Any, body: Any, number: str) -> Any:
        """Return an issue, or a pull request as the issue that it also is."""
        one = self._numbered_or_404(number)
        return {**one, "url": one["issue_url"]}

    def edit(self, query: Any, body: Any, number: str) -> Any:
        one = self._numbered_or_404(number)
        one |= {name: value for name, value in body.items() if name in ("title", "body", "state")}
        return one

    def pull_reviews(self, query: Any, body: Any, number: str) -> Any:
        return self.reviews.get(int(number), [])

    def pull_commits(self, query: Any, body: Any, number: str) -> Any:
        one = self.issues[int(number)]
        shas = one.get("commits") or self.git("rev-list", f"{MAIN}..{one['head']['ref']}").split()
        return [self.commit_of(sha) for sha in shas]

    def list_issues(self, query: Any, body: Any) -> Any:
        state, labels = query.get("state", "open"), set(filter(None, query.get("labels", "").split(",")))
        return [
            {**one, "url": one["issue_url"]}
            for one in self.issues.values()
            if state in ("all", one["state"]) and labels <= {label["name"] for label in one["labels"]}
        ]

    def make_issue(self, query: Any, body: Any) -> Any:
        made = self._numbered(body["title"], body["body"], "issues")
        made["labels"] = [{"name": name} for name in body.get("labels", ())]
        return made

    def add_labels(self, query: Any, body: Any, number: str) -> Any:
        names = body["labels"] if isinstance(body, dict) else body
        self.issues[int(number)]["labels"] += [{"name": name} for name in names]
        return self.issues[int(number)]["labels"]

    def list_comments(self, query: Any, body: Any, number: str) -> Any:
        return self.comments.get(int(number), [])

    def make_comment(self, query: Any, body: Any, number: str) -> Any:
        own = 100 + sum(map(len, self.comments.values()))
        html = f"https://github.com/{NAME}/issues/{number}#issuecomment-{own}"
        made = {"id": own, "body": body["body"], "url": self.at(f"/issues/comments/{own}"), "html_url": html}
        self.comments.setdefault(int(number), []).append(made)
        return made

    def edit_comment(self, query: Any, body: Any, own: str) -> Any:
        (found,) = [one for some in self.comments.values() for one in some if one["id"] == int(own)]
        found["body"] = body["body"]
        return found

    def workflow(self, query: Any, body: Any, name: str) -> Any:
        if name not in self.git("ls-tree", "--name-only", f"{MAIN}:.github/workflows").split():
            raise Problem(404, "Not Found")
        return {"id": 1, "name": name, "url": self.at(f"/actions/workflows/{name}")}

    def dispatch(self, query: Any, body: Any, name: str) -> Any:
        self.dispatches.append({"workflow": name, **body})

    def make_status(self, query: Any, body: Any, sha: str) -> Any:
        self.statuses.setdefault(sha, {})[body["context"]] = body["state"]
        return {"id": 1, "url": self.at(f"/statuses/{sha}"), **body}

    def release(self, query: Any, body: Any, tag: str) -> Any:
        if tag not in self.releases:
            raise Problem(404, "Not Found")
        return self.releases[tag]

    def make_release(self, query: Any, body: Any) -> Any:
        if body["tag_name"] in self.releases:
            raise Problem(422, "Validation Failed")
        made = {**body, "html_url": f"https://github.com/{NAME}/releases/tag/{body['tag_name']}"}
        self.releases[body["tag_name"]] = made
        return made

    def permission(self, query: Any, body: Any, login: str) -> Any:
        return {"permission": "write" if login in self.logins.values() else "read", "user": user(login)}

    def _sha(self, name: str, otherwise: str) -> str:
        try:
            return self.git("rev-parse", "--verify", name)
        except Problem as error:
            raise Problem(404, otherwise) from error

    def at(self, path: str) -> str:
        return f"{self.url}/repos/{NAME}{path}"

    def _check_length(self, body: Any) -> None:
        """Refuse a body that is too long, as https://github.com/PyGithub/PyGithub/issues/1906 shows."""
        if len((body or {}).get("body") or "") > 65_536:
            raise Problem(422, "body is too long (maximum is 65536 characters)")

    def _numbered(self, title: str, body: str, kind: str) -> dict[str, Any]:
        number = len(self.issues) + 1
        made = {"number": number, "id": number, "title": title, "body": body, "state": "open", "labels": []}
        made |= {"user": user(BOT, "Bot"), "url": self.at(f"/{kind}/{number}")}
        made |= {"issue_url": self.at(f"/issues/{number}"), "html_url": f"https://github.com/{NAME}/{kind}/{number}"}
        if kind == "pulls":
            made["pull_request"] = {"url": made["url"]}
        self.issues[number] = made
        return made

    def _numbered_or_404(self, number: str) -> dict[str, Any]:
        if int(number) not in self.issues:
            raise Problem(404, "Not Found")
        return self.issues[int(number)]


def user(login: str, kind: str = "User") -> dict[str, Any]:
    return {"login": login, "id": 1, "type": kind}


Answer = Callable[..., Any]
ROUTES: list[tuple[str, str, Answer]] = [
    ("GET", r"", FakeGitHub.repository),
    ("GET", r"/branches/(.+)", FakeGitHub.branch),
    ("GET", r"/contents/(.+)", FakeGitHub.contents),
    ("GET", r"/git/commits/(\w+)", FakeGitHub.git_commit),
    ("POST", r"/git/trees", FakeGitHub.make_tree),
    ("POST", r"/git/commits", FakeGitHub.make_commit),
    ("POST", r"/git/refs", FakeGitHub.make_ref),
    ("GET", r"/git/ref/heads/(.+)", FakeGitHub.ref),
    ("PATCH", r"/git/refs/heads/(.+)", FakeGitHub.move_ref),
    ("GET", r"/compare/(.+)\.\.\.(.+)", FakeGitHub.compare),
    ("GET", r"/commits", FakeGitHub.commits),
    ("GET", r"/commits/(\w+)", FakeGitHub.commit),
    ("GET", r"/commits/(\w+)/pulls", FakeGitHub.commit_pulls),
    ("GET", r"/pulls", FakeGitHub.list_pulls),
    ("POST", r"/pulls", FakeGitHub.make_pull),
    ("GET", r"/pulls/(\d+)", FakeGitHub.pull),
    ("PATCH", r"/(?:pulls|issues)/(\d+)", FakeGitHub.edit),
    ("GET", r"/pulls/(\d+)/reviews", FakeGitHub.pull_reviews),
    ("GET", r"/pulls/(\d+)/commits", FakeGitHub.pull_commits),
    ("GET", r"/issues", FakeGitHub.list_issues),
    ("POST", r"/issues", FakeGitHub.make_issue),
    ("GET", r"/issues/(\d+)", FakeGitHub.issue),
    ("POST", r"/issues/(\d+)/labels", FakeGitHub.add_labels),
    ("GET", r"/issues/(\d+)/comments", FakeGitHub.list_comments),
    ("POST", r"/issues/(\d+)/comments", FakeGitHub.make_comment),
    ("PATCH", r"/issues/comments/(\d+)", FakeGitHub.edit_comment),
    ("GET", r"/actions/workflows/([\w.-]+)", FakeGitHub.workflow),
    ("POST", r"/actions/workflows/([\w.-]+)/dispatches", FakeGitHub.dispatch),
    ("POST", r"/statuses/(\w+)", FakeGitHub.make_status),
    ("GET", r"/releases/tags/(.+)", FakeGitHub.release),
    ("POST", r"/releases", FakeGitHub.make_release),
    ("GET", r"/codeowners/errors", FakeGitHub.owner_errors),
    ("GET", r"/collaborators/([\w-]+)/permission", FakeGitHub.permission),
]


@contextmanager
def serving(github: FakeGitHub) -> Iterator[FakeGitHub]:
    """Answer over HTTP, on a port of its own, while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            parts = urlsplit(self.path)
            path = unquote(parts.path).removeprefix(f"/repos/{NAME}")
            with github.lock:
                github.calls.append(Call(self.command, path, body))
                status, content = _routed(github, self.command, path, parse_qs(parts.query), body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(204 if content is None else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    github.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _routed(github: FakeGitHub, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    for verb, pattern, answer in ROUTES:
        found = re.fullmatch(pattern, path)
        if verb == method and found:
            given = {name: values[-1] for name, values in query.items()}
            try:
                github._check_length(body if isinstance(body, dict) else None)
                return 201 if method == "POST" else 200, answer(github, given, body, *found.groups())
            except Problem as error:
                return error.status, {"message": str(error)}
    return 404, {"message": f"{method} {path}: this GitHub knows no such thing"}

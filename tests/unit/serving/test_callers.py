"""Who may ask: the file of callers, their tokens, and how often each may ask."""

import hashlib
import os
import stat

import pytest

from pipelines.config import UserError
from pipelines.contracts.callers import CallersFile
from pipelines.serving import callers
from pipelines.serving.callers import Callers, new_caller
from pipelines.serving.limits import Unread

SECRET = "a-token-somebody-pasted-where-its-hash-belongs"
HASH = "0" * 64


@pytest.fixture
def file(tmp_path):
    return tmp_path / "callers.toml"


def bearer(token):
    return f"Bearer {token}".encode()


def test_a_caller_is_known_by_the_token_that_was_made(file):
    first, second = new_caller(file, "checkout", None), new_caller(file, "search", 2.5)
    admitted = Callers(file)
    assert (admitted.admit(bearer(first)), admitted.admit(bearer(second))) == ("checkout", "search")
    assert len({first, second}) == 2
    assert min(len(first), len(second)) >= 43, "256 bits in base64"
    text = file.read_text()
    assert first not in text and second not in text
    assert hashlib.sha256(first.encode()).hexdigest() in text


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Token abc", b"bearer nonsense", b"\xff\xfe", b"Bearer \xff"],
)
def test_who_shows_no_token_of_a_caller_is_refused(file, header):
    new_caller(file, "checkout", None)
    with pytest.raises(Unread) as refused:
        Callers(file).admit(header)
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_scheme_is_read_in_any_case_and_spacing(file):
    token = new_caller(file, "checkout", None).encode()
    admitted = Callers(file)
    assert {admitted.admit(form % token) for form in (b"Bearer %s", b"bearer %s", b"BEARER   %s ")} == {"checkout"}


def test_a_caller_asks_as_often_as_its_rate_allows(file, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(callers.time, "monotonic", lambda: now[0])
    slow, free = new_caller(file, "slow", 5), new_caller(file, "free", None)
    admitted, statuses = Callers(file), set()

    def answered(count):
        for number in range(count):
            try:
                admitted.admit(bearer(slow))
            except Unread as refused:
                statuses.add(refused.status)
                return number
        return count

    assert answered(20) == 5
    now[0] += 0.4
    assert answered(20) == 2
    now[0] += 3600
    assert answered(20) == 5, "what was not asked is not saved up"
    assert statuses == {429}
    assert [admitted.admit(bearer(free)) for _ in range(50)] == ["free"] * 50


def test_a_caller_that_may_ask_once_a_minute_does(file, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(callers.time, "monotonic", lambda: now[0])
    token = new_caller(file, "rare", 1 / 60)
    admitted = Callers(file)
    assert admitted.admit(bearer(token))
    with pytest.raises(Unread):
        admitted.admit(bearer(token))
    now[0] += 60.1
    assert admitted.admit(bearer(token))


def test_a_change_of_the_file_is_followed_and_a_broken_one_is_not(file, caplog):
    old = new_caller(file, "old", None)
    admitted = Callers(file)
    new = new_caller(file, "new", None)
    with pytest.raises(Unread):
        admitted.admit(bearer(new))
    admitted.follow()
    assert admitted.admit(bearer(new)) == "new"
    before = file.read_text()
    file.write_text(before.replace("token_sha256", "token"))
    admitted.follow()
    assert "callers not read again" in caplog.text
    assert admitted.admit(bearer(new)) == "new"
    file.unlink()
    admitted.follow()
    assert admitted.admit(bearer(old)) == "old"
    file.write_text("".join(before.partition("\n[callers.new]")[:1]))
    os.utime(file, ns=(1, 1))
    admitted.follow()
    with pytest.raises(Unread):
        admitted.admit(bearer(new))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "callers"),
        ("[callers]\n", "callers"),
        (f'[callers.a]\ntoken_sha256 = "{SECRET}"\n', "no SHA-256"),
        (f'[callers."A b"]\ntoken_sha256 = "{HASH}"\n', "callers"),
        (f'[callers.a]\ntoken_sha256 = "{HASH}"\nrate = 5\n', "unknown key"),
        (f'[callers.a]\ntoken_sha256 = "{HASH}"\nrequests_per_second = 0\n', "requests_per_second"),
        (f'[callers.a]\ntoken_sha256 = "{HASH}"\n[callers.b]\ntoken_sha256 = "{HASH}"\n', "one token"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_and_no_secret_shown(file, text, told):
    file.write_text(text)
    with pytest.raises(UserError, match=told) as refused:
        Callers(file)
    assert SECRET not in str(refused.value)


def test_a_missing_file_is_refused(file):
    with pytest.raises(UserError, match="does not exist"):
        Callers(file)


def test_a_new_caller_leaves_the_others_and_comments_as_they_are(file):
    new_caller(file, "checkout", None)
    file.write_text(f"# the shop\n{file.read_text()}")
    before = file.read_text()
    with pytest.raises(UserError, match="already"):
        new_caller(file, "checkout", None)
    with pytest.raises(UserError, match="no name"):
        new_caller(file, "Check Out", None)
    assert file.read_text() == before
    new_caller(file, "search", 3)
    assert file.read_text().startswith(before.rstrip())
    assert set(CallersFile.model_validate(callers.tomlkit.parse(file.read_text()).unwrap()).callers) == {
        "checkout",
        "search",
    }
    assert stat.S_ISREG(file.stat().st_mode)
    assert [path.name for path in file.parent.iterdir()] == [file.name]

"""The emulator of AWS: moto, started where none answers."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from pipelines.config.errors import UserError

HERE = "http://localhost:4566"


def answers(url: str) -> bool:
    """Say whether something answers at a URL."""
    try:
        urllib.request.urlopen(url, timeout=3).close()  # noqa: S310  (http, as the configuration has it)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def start(url: str, account: str, folder: Path) -> bool:
    """Start moto where nothing answers at the URL, for all of the machine's addresses; say whether this call did.

    Raises:
        UserError: when it does not answer within a minute.
    """
    if answers(url):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", url.rpartition(":")[2]]
    # Pods call it by a name whose first part is no bucket's.
    environ = {**os.environ, "MOTO_ACCOUNT_ID": account, "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"}
    with (folder / "emulator.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)
    _number(folder).write_text(str(server.pid))
    for _ in range(240):
        if server.poll() is not None:
            break
        if answers(url):
            server.returncode = 0  # it outlives this process, which need not wait for it
            return True
        time.sleep(0.25)
    raise UserError(f"no emulator answers at {url}, and moto does not start: {folder / 'emulator.log'} says why")


def stop(folder: Path) -> bool:
    """Stop the emulator that :func:`start` started, with all that is in it; say whether there was one."""
    file = _number(folder)
    if not file.exists():
        return False
    number = int(file.read_text())
    file.unlink()
    if b"moto.server" not in _command_line(number):
        return False  # it ended, and the number may be another's now
    os.kill(number, signal.SIGTERM)
    return True


def _number(folder: Path) -> Path:
    return folder / "emulator.pid"


def _command_line(number: int) -> bytes:
    done = subprocess.run(["ps", "-o", "args=", "-p", str(number)], capture_output=True, check=False)
    return done.stdout

"""``python -m tests.cluster.load URL SECONDS``: clients in the cluster that ask the app, and tell what came of it.

They keep their connections, ask again once what failed, and stop early on SIGTERM. The last line is JSON: how many requests were ``asked``,
the ``lost``, each with its second and its error, those ``lost_twice``, the answers of each version, and seconds.
"""

import json
import signal
import sys
import threading
import time
from collections import Counter
from http.client import HTTPException

import msgspec
import urllib3

from tests.problems import parcels

CLIENTS, PAUSE = 4, 0.02
JSON = {"Content-Type": "application/json"}


class Load:
    def __init__(self, url: str, seconds: float) -> None:
        rows = parcels.read("parcels", parcels.START, parcels.STRIKE).slice(0, 200).to_pylist()
        self.bodies = [msgspec.json.encode(row) for row in rows]
        self.url, self.ends = f"{url}/invocations", time.monotonic() + seconds
        self.lost: list[tuple[float, str]] = []
        self.lost_twice: list[tuple[float, str]] = []
        self.versions: Counter[int] = Counter()
        self.times: list[float] = []

    def run(self) -> None:
        began = time.time()
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times = sorted(self.times)
        told = {
            "began": began,
            "asked": len(times),
            "lost": self.lost,
            "lost_twice": self.lost_twice,
            "versions": self.versions,
            "p50_ms": round(times[len(times) // 2] * 1000, 1),
            "p99_ms": round(times[len(times) * 99 // 100] * 1000, 1),
            "longest_ms": round(times[-1] * 1000, 1),
        }
        sys.stdout.write(json.dumps(told) + "\n")

    def stop(self) -> None:
        self.ends = 0.0

    def _client(self, number: int) -> None:
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=15), maxsize=1)
        while time.monotonic() < self.ends:
            body, sent = self.bodies[number % len(self.bodies)], time.monotonic()
            if not self._ask(pool, body, self.lost):
                self._ask(pool, body, self.lost_twice)
            self.times.append(time.monotonic() - sent)
            number += CLIENTS
            time.sleep(PAUSE)

    def _ask(self, pool: urllib3.PoolManager, body: bytes, lost: list[tuple[float, str]]) -> bool:
        try:
            reply = pool.request("POST", self.url, body=body, headers=JSON, retries=False)
            assert reply.status == 200, reply.data.decode()[:200]
            self.versions[msgspec.json.decode(reply.data)["model_version"]] += 1
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, AssertionError) as error:
            lost.append((time.time(), f"{type(error).__name__}: {error}"))
            return False
        return True


if __name__ == "__main__":
    Load(sys.argv[1], float(sys.argv[2])).run()

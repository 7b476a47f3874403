"""Applies the graphs of stacks with the real AWS provider on moto: ``python -m tests.infra.apply PROGRAM STACK …``.

PROGRAM translates what the Pulumi program registers for Terraform's provider. What moto cannot create is in
``emulator.txt``, with reasons; anything else that is not created fails.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.program import ROOT
from tests.infra.environments import ACCOUNT, image

EMULATOR = Path(__file__).with_name("emulator.txt")
ATTEMPTS = 2  # moto under load now and then answers later than the provider waits


def applied(program, stack):
    """Apply a stack's graph, print what became of it, and say whether all of it was created or is known not to be."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        config = [f"--config=infra:account={ACCOUNT}", f"--config=infra:image={image()}"]
        command = [sys.executable, program, ROOT / "infra", "--stack", stack, *config, "--report", report]
        done = subprocess.run([*command, "--unsupported", EMULATOR], capture_output=True, text=True, check=False)
        if not report.exists():
            print(done.stdout, done.stderr, sep="\n")
            return False
        resources = json.loads(report.read_text())["resources"]
    lines = [
        f"  {one['status']} {one['token']} {one['name']}: {one['detail']}"
        for one in resources
        if one["status"] in {"failed", "not checked"}
    ]
    print("\n".join([f"{stack} {dict(Counter(one['status'] for one in resources))}", *lines]))
    return done.returncode == 0


if __name__ == "__main__":
    _, program, *stacks = sys.argv
    with ThreadPoolExecutor() as pool:  # most of the time is the provider's own waiting
        done = pool.map(lambda stack: any(applied(program, stack) for _ in range(ATTEMPTS)), stacks)
        left = [stack for stack, well in zip(stacks, done, strict=True) if not well]
    sys.exit(f"not applied: {', '.join(left)}" if left else 0)

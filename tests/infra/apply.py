"""Applies the graphs of stacks with the real AWS provider on moto: ``python -m tests.infra.apply PROGRAM STACK …``.

PROGRAM translates what the Pulumi program registers for Terraform's provider. What moto cannot create is in
``emulator.txt``, with reasons; anything else that is not created fails.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
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
    print(stack, dict(Counter(one["status"] for one in resources)))
    for one in resources:
        if one["status"] in {"failed", "not checked"}:
            print("  ", one["status"], one["token"], one["name"], one["detail"])
    return done.returncode == 0


if __name__ == "__main__":
    _, program, *stacks = sys.argv
    left = [stack for stack in stacks if not any(applied(program, stack) for _ in range(ATTEMPTS))]
    sys.exit(f"not applied: {', '.join(left)}" if left else 0)

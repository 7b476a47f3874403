"""Writes into the docs the cost of each environment on AWS and every diagram, derived from the program."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from infra.aws.config import Config
from infra.local.secrets import fresh
from infra.program import LOCAL, NAMESPACE, ROOT, stated, wanted, wanted_local
from infra.resource import Resource
from infra.tools.diagram import mermaid
from infra.tools.estimate import Assumed, idle, million_predictions, prices, training_run
from infra.tools.recording import record

STACKS = ("dev", "staging", "prod")
PAGE = ROOT / "docs/aws.md"
LOCAL_PAGE = ROOT / "docs/local-monitoring.md"
_ACCOUNT = "123456789012"


def example(stack: str) -> tuple[Config, list[Resource]]:
    """Return a stack of the repository, in an account that is nobody's, with an image."""
    given = {**stated(stack), f"{NAMESPACE}account": _ACCOUNT}
    region = wanted(stack, given, project="project").names.region
    image = f"{_ACCOUNT}.dkr.ecr.{region}.amazonaws.com/project@sha256:{'0' * 64}"
    plan = wanted(stack, {**given, f"{NAMESPACE}image": image}, project="project")
    return plan.config, record(plan)


def cost_table(stacks: Sequence[tuple[str, Config, list[Resource]]]) -> str:
    """Return the table of costs."""
    costs = {name: idle(resources, config) for name, config, resources in stacks}
    rows = [[what, *(f"{cost[what]:,.2f}" for cost in costs.values())] for what in next(iter(costs.values()))]
    rows.append(["**idle, a month**", *(f"**{sum(cost.values()):,.2f}**" for cost in costs.values())])
    rows.append(["a training run", *(f"{training_run(resources, config):,.2f}" for _, config, resources in stacks)])
    rows.append(["a million predictions", *(f"{million_predictions(config):,.2f}" for _, config, _ in stacks)])
    head = ["USD", *costs]
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---", *["---:"] * len(costs)], *rows]]
    assumed, price = Assumed(), prices()
    note = (
        f"List prices of {price['date']} ({price['source']}). Assumed: a tick of {assumed.tick_seconds:g} s,"
        f" {assumed.data_gb:g} GB of data, {assumed.training_hours:g} h of training,"
        f" {assumed.job_minutes:g} min for any other job,"
        f" {assumed.request_seconds * 1000:g} ms a request without a server, {assumed.features} rows of features a"
        f" prediction, {assumed.requests_per_second:g} predictions a second and instance."
    )
    return "\n".join([*lines, "", note])


def written(text: str, blocks: dict[str, str]) -> str:
    """Return a page whose marked blocks hold new content.

    Raises:
        ValueError: for a block that the page does not have.
    """
    for name, content in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"the page has no block {name}")
        escaped = content.replace("\\", r"\\")
        text = pattern.sub(rf"\g<1>{escaped}\n\g<2>", text)
    return text


def page(text: str) -> str:
    """Return the page with the blocks as they follow from the program now."""
    stacks = [(name, *example(name)) for name in STACKS]
    diagrams = {name: _drawn(resources) for name, _, resources in stacks}
    return written(text, {"cost": cost_table(stacks), **diagrams})


def local_page(text: str) -> str:
    """Return the page of the local environment, likewise."""
    given = {**stated(LOCAL), f"{NAMESPACE}secrets": json.dumps(fresh())}
    return written(text, {"local": _drawn(record(wanted_local(given, project="project")))})


def _drawn(resources: list[Resource]) -> str:
    return f"```mermaid\n{mermaid(resources)}\n```"


def main(path: Path = PAGE, local: Path = LOCAL_PAGE) -> None:
    """Write the pages anew."""
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    local.write_text(local_page(local.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

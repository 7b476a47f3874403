"""The page of one run of the monitor: what was measured, which alarms are raised, and where to look deeper."""

from collections.abc import Collection, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from monitoring.alarms import Alarm, Measurements
from pipelines.config import ProblemConfig


def render(
    config: ProblemConfig, environment: str, measured: Measurements, raised: Sequence[Alarm], pages: Collection[str]
) -> str:
    """Return the page as HTML; ``pages`` are the names of the files beside it that it links to, without ``.html``."""
    templates = Environment(
        loader=PackageLoader("monitoring"), undefined=StrictUndefined, autoescape=select_autoescape()
    )
    drift = sorted(measured.drift.items(), key=lambda one: -one[1])
    return templates.get_template("monitor.html.j2").render(
        config=config, environment=environment, measured=measured, raised=raised, pages=pages, drift=drift
    )

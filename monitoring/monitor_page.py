"""The page of one run of the monitor: what was measured, which alarms are raised, and where to look deeper."""

from collections.abc import Collection, Sequence

from monitoring import page
from monitoring.alarms import Alarm, Measurements
from pipelines.config import ProblemConfig


def render(
    config: ProblemConfig, environment: str, measured: Measurements, raised: Sequence[Alarm], pages: Collection[str]
) -> str:
    """Return the page as HTML; ``pages`` are the names of the files beside it that it links to, without ``.html``."""
    drift = sorted(measured.drift.items(), key=lambda one: -one[1])
    return page.filled(
        "monitor", config=config, environment=environment, measured=measured, raised=raised, pages=pages, drift=drift
    )

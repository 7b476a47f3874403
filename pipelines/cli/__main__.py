"""``python -m pipelines.cli`` is ``mlops``."""

from pipelines.cli import main

main()

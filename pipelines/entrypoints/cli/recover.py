"""``mlops recover``: after a disaster, make again what follows from the model store and the offline tables."""

from typing import TYPE_CHECKING

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, app, console, moment, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform


@app.command()
def recover(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Write the online store anew from the offline tables, and MLflow from the manifests; safe to run at any time.

    The online store becomes what it was after the last run of the feature pipeline, or what it was at --as-of.
    """
    from pipelines.config import UserError
    from pipelines.feature.materialise import restore
    from pipelines.reporting.history import materialised_until
    from pipelines.training.index import index

    platform: Platform = context.obj
    at = moment(platform, as_of) if as_of else materialised_until(platform.objects)
    if at is None:
        raise UserError("no run of the feature pipeline is recorded here; give --as-of, or run it: mlops run feature")
    views = restore(platform.problem, platform.tables, platform.online, at)
    versions = len(platform.models.versions()) if platform.tracking else 0
    if platform.tracking:
        index(platform.models, platform.tracking, anew=True)
    if as_json:
        print_json({"as_of": at, "entities": views, "versions": versions})
        return
    for name, entities in views.items():
        console.print(f"[green]✔[/] {name}: {entities:,} entities, as of {at:%Y-%m-%d %H:%M}")
    console.print(f"[green]✔[/] {versions} model versions offered to MLflow")

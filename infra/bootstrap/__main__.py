"""Run by ``pulumi up`` in this folder: reads the stack's configuration and registers what it asks for."""

import pulumi

from infra.bootstrap.program import bootstrap, read_home
from infra.bootstrap.settings import KEY, Settings
from pipelines.spec import UserError

try:
    settings = Settings.parse(pulumi.Config().get_object(KEY), f"Pulumi.{pulumi.get_stack()}.yaml")
    for name, value in bootstrap(settings, read_home(settings)).items():
        pulumi.export(name, value)
except UserError as error:
    raise pulumi.RunError(str(error)) from error

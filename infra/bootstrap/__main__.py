"""The program of ``pulumi up`` in this folder: registers what the stack's configuration states."""

import pulumi
from pulumi.runtime.config import CONFIG

from infra.bootstrap.program import bootstrap, read_home
from infra.bootstrap.settings import BootstrapSettings
from pipelines.config.errors import UserError

try:
    settings = BootstrapSettings.parse(CONFIG.get(), f"Pulumi.{pulumi.get_stack()}.yaml")
    for name, value in bootstrap(settings, read_home(settings)).items():
        pulumi.export(name, value)
except UserError as error:
    raise pulumi.RunError(str(error)) from error

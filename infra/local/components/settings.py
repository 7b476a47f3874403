"""The environment variables of every process of the project: addresses and credentials."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.local.cluster import metadata, within
from infra.local.config import LocalConfig
from infra.names import Names


@dataclass(frozen=True, kw_only=True)
class SettingsArgs:
    """Of which environment, and its configuration."""

    names: Names
    config: LocalConfig


class SettingsMap(pulumi.ComponentResource):
    """The settings, and the secrets, which Pulumi keeps encrypted in its state."""

    def __init__(self, args: SettingsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Settings", "settings", None, opts)
        names, child = args.names, within(self, opts)
        k8s.core.v1.ConfigMap(
            "settings", metadata=metadata(names, "settings"), data=variables(names, args.config), opts=child
        )
        for name, content in secrets(args.config).items():
            k8s.core.v1.Secret(
                name,
                metadata=metadata(names, "settings", name),
                string_data={key: pulumi.Output.secret(value) for key, value in content.items()},
                opts=child,
            )
        self.register_outputs({})


def variables(names: Names, config: LocalConfig) -> dict[str, str]:
    """Return the variables that are not secret."""
    return {
        "RATCHET_PROFILE": "kubernetes",
        "RATCHET_PROJECT": names.project,
        "RATCHET_ENVIRONMENT": names.environment,
        "AWS_ENDPOINT_URL": config.emulator,
        "AWS_DEFAULT_REGION": names.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/tmp",
        "RATCHET_HOME": "/tmp/home",
        "MPLCONFIGDIR": "/tmp/matplotlib",
    }


def secrets(config: LocalConfig) -> dict[str, dict[str, str]]:
    """Return the content of each Secret."""
    given = config.secrets
    return {
        "emulator": {"AWS_ACCESS_KEY_ID": given.access_key_id, "AWS_SECRET_ACCESS_KEY": given.secret_access_key},
        "alerts": {"token": given.alerts_token},
        "grafana": {"password": given.grafana_password},
    }

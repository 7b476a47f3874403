"""Compares two models by their manifests."""

from typing import Any

from pipelines.config import Manifest


def metrics(*manifests: Manifest) -> dict[str, list[float | None]]:
    """Return each test metric with a value for each model, None where a model has none."""
    names = dict.fromkeys(name for manifest in manifests for name in manifest.metrics.get("test", {}))
    return {name: [manifest.metrics.get("test", {}).get(name) for manifest in manifests] for name in names}


def differences(*manifests: Manifest) -> dict[str, list[str]]:
    """Return the differences of the models, a text for each model."""
    told = [_facts(manifest) for manifest in manifests]
    names = dict.fromkeys(name for facts in told for name in facts)
    rows = {name: [str(facts.get(name, "")) for facts in told] for name in names}
    return {name: texts for name, texts in rows.items() if len(set(texts)) > 1}


def _facts(manifest: Manifest) -> dict[str, Any]:
    failed = [gate.gate for gate in manifest.gates if not gate.passed]
    told = "passed" if manifest.accepted else f"refused by {', '.join(failed)}" if failed else "never judged"
    return {
        "estimator": manifest.estimator,
        **{f"setting {name}": value for name, value in manifest.settings.items()},
        "gates": told,
        "because": manifest.reason,
        **{
            f"{name} period": f"{period.start:%Y-%m-%d} to {period.end:%Y-%m-%d}, {period.rows:,} rows"
            for name, period in manifest.periods.items()
        },
        **{f"view {name}": version for name, version in manifest.feature_pins.items()},
        **{f"feature {name}": kind.value for name, kind in manifest.features.items()},
        **{f"data {name}": snapshot for name, snapshot in manifest.data.items()},
        "commit": manifest.code.commit[:12] + (" with changes" if manifest.code.modified else ""),
        "packages": manifest.code.lock_sha256[:8],
        "problem.toml": manifest.code.problem_sha256[:8],
    }

"""Environments to look at: the stacks of the repository, as recorded, with what a first adopter adds to them."""

import dataclasses
import functools
import json

from infra.program import ROOT, stated, wanted
from infra.tools.recording import record
from pipelines.config import load_toml
from pipelines.contracts import Cloud
from pipelines.contracts.rendered import Rendered

ACCOUNT, REGION = "123456789012", load_toml(ROOT / "cloud.toml", Cloud).region
ANOTHER = "eu-north-1" if REGION != "eu-north-1" else "eu-west-3"
STACKS = ("dev", "staging", "prod")
RENDERED = Rendered.from_json(
    json.dumps({
        "pipelines": {
            "training": {
                "definition": {
                    "Version": "2020-12-01",
                    "Parameters": [],
                    "Steps": [{
                        "Name": "train", "Type": "Training",
                        "Arguments": {
                            "AlgorithmSpecification": {"TrainingImage": "{{image}}", "TrainingInputMode": "File"},
                            "RoleArn": "{{role}}",
                            "OutputDataConfig": {"S3OutputPath": "s3://{{bucket}}/runs", "KmsKeyId": "{{key}}"},
                            "ResourceConfig": {"InstanceType": "{{instance}}", "InstanceCount": 1, "VolumeSizeInGB": 30},
                            "VpcConfig": {"Subnets": "{{subnets}}", "SecurityGroupIds": "{{security_groups}}"},
                            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
                        },
                    }],
                },
            },
            "continuous_training": {"definition": {"Version": "2020-12-01", "Steps": []}, "schedule": "rate(1 day)"},
        },
        "alarms": {
            "drift": {
                "metric": "drift", "statistic": "Maximum", "comparison": ">", "threshold": 0.2, "minutes": 60,
                "dimensions": {"feature": "distance"}, "meaning": "A feature has drifted.",
            },
        },
    })
)  # fmt: skip


def image(letter="a", project="thing", region=REGION, account=ACCOUNT):
    return f"{account}.dkr.ecr.{region}.amazonaws.com/{project}@sha256:{letter * 64}"


def given(stack, **changes):
    """Return the configuration of a stack of the repository, with changes; None takes a key out."""
    made = {"account": ACCOUNT, "image": image(), **changes}
    config = {**stated(stack), **{f"infra:{key}": value for key, value in made.items()}}
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in config.items() if v is not None}


def plan(stack, project="thing", live=None, **changes):
    return dataclasses.replace(wanted(stack, given(stack, **changes), live, project=project), rendered=RENDERED)


@functools.cache
def environment(stack, project="thing"):
    """Return what a stack of the repository registers; recorded once."""
    return record(plan(stack, project))


def changed(stack, **changes):
    """Return what a stack registers with changes."""
    return record(plan(stack, **changes))


def of(resources, token):
    return [one for one in resources if one.type.endswith(f":{token}")]


def one(resources, token, name):
    (found,) = [each for each in of(resources, token) if each.name == name]
    return found


def document(resources):
    return one(resources, "BucketObjectv2", "stack").props["content"]

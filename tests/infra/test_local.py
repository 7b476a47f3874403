"""What the program registers of the local environment: valid for Kubernetes, bounded, and without secrets in plain."""

import json

import kubernetes_validate
import pytest

from infra.local.pod import Pod, Size, template
from infra.local.schedule import cron
from infra.tools.recording import record
from pipelines.config import UserError
from pipelines.config.strict import parse_toml
from pipelines.contracts import Stack
from pipelines.contracts.callers import CallersFile
from tests.infra.locally import SECRETS, changed, local, objects, plan

pytestmark = pytest.mark.infra

NEWEST = list(dict.fromkeys(kubernetes_validate.utils.all_versions()))[-3:]
SIZE = Size("1m", "1", "1Mi")
PODS = ("alertmanager", "grafana", "mlflow", "prometheus", "serving", "watch")


def pod(name, kind="Deployment"):
    spec = objects()[kind, name]["spec"]
    return (spec if kind == "Deployment" else spec["jobTemplate"]["spec"])["template"]["spec"]


@pytest.mark.parametrize("version", NEWEST)
def test_every_manifest_is_valid_for_the_newest_versions_of_kubernetes(version):
    for one in objects().values():
        kubernetes_validate.validate(one, version, strict=True)


def test_an_invalid_manifest_is_not():
    broken = json.loads(json.dumps(objects()["Deployment", "serving"]))
    broken["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST[-1], strict=True)


def test_the_templates_of_jobs_are_valid_too():
    templates = changed(gpu={"count": 2})["ConfigMap", "job"]["data"]
    assert templates.keys() == {"job.json", "gpu.json"}
    for text in templates.values():
        job = json.loads(text)
        job["metadata"]["name"] = "run"
        kubernetes_validate.validate(job, NEWEST[-1], strict=True)
        assert job["spec"]["template"]["spec"]["containers"][0]["name"] == "step"


def test_everything_is_in_the_namespace_and_bears_the_labels():
    shared = {("Namespace", "thing-local"), ("PriorityClass", "thing-local-serving")}
    for name, one in objects().items():
        assert (one["metadata"].get("namespace") == "thing-local") == (name not in shared)
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "thing"
        assert labels["app.kubernetes.io/managed-by"] == "pulumi" and labels["app.kubernetes.io/component"]


def test_pulumi_creates_namespace_account_and_settings_before_pods():
    made = {(one.type.rpartition(":")[2], one.name): one for one in local() if one.type.startswith("kubernetes:")}
    needs = {one.urn: set(one.needs) for one in local()}

    def before(urn):
        return needs.get(urn, set()).union(*(before(need) for need in needs.get(urn, ())))

    for (kind, name), one in made.items():
        if kind not in ("Namespace", "PriorityClass"):
            assert made["Namespace", "namespace"].urn in before(one.urn), (kind, name)
        if kind in ("Deployment", "CronJob"):
            assert {made["ServiceAccount", "serving"].urn, made["Secret", "emulator"].urn} <= before(one.urn)


def test_the_namespace_takes_restricted_pods_alone():
    labels = objects()["Namespace", "thing-local"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def quantity(text):
    units = {"Gi": 2**30, "Mi": 2**20, "m": 0.001}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * units.get(unit, 1)


def test_all_of_it_and_a_run_fit_into_the_quota_and_a_laptop():
    quota = objects()["ResourceQuota", "all"]["spec"]["hard"]
    asked = {"cpu": 0.0, "memory": 0.0}
    most = objects()["HorizontalPodAutoscaler", "serving"]["spec"]["maxReplicas"]
    for name, count in {**dict.fromkeys(PODS, 1), "serving": most + 1, "monitor": 1}.items():  # one more in an update
        (container,) = pod(name, "CronJob" if name == "monitor" else "Deployment")["containers"]
        for what in asked:
            asked[what] += count * quantity(container["resources"]["requests"][what])
    assert asked["memory"] <= quantity(quota["requests.memory"]) <= 7 * 2**30
    assert asked["cpu"] <= quantity(quota["requests.cpu"])


def test_no_secret_stands_in_plain_text():
    for one in local():
        holds = [secret for secret in SECRETS.values() if secret in json.dumps(one.props)]
        assert not holds or (one.type == "kubernetes:core/v1:Secret" and one.encrypted == {"stringData"})
    assert {name for kind, name in objects() if kind == "Secret"} == {"alerts", "emulator", "grafana"}


def test_only_runs_may_ask_the_cluster_and_only_for_jobs_of_the_namespace():
    asks = [name for name in PODS if pod(name)["automountServiceAccountToken"]]
    assert asks == [] and pod("monitor", "CronJob")["automountServiceAccountToken"]
    assert not [kind for kind, _ in objects() if kind.startswith("ClusterRole")]
    (binding,) = [one for (kind, _), one in objects().items() if kind == "RoleBinding"]
    assert [one["name"] for one in binding["subjects"]] == ["pipelines"]
    assert {pod(name)["serviceAccountName"] for name in PODS} == {"mlflow", "monitoring", "serving", "watch"}


def test_serving_leaves_before_it_ends_and_an_update_takes_no_pod_away():
    spec = objects()["Deployment", "serving"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (container,) = pod("serving")["containers"]
    leaves = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = container["readinessProbe"]
    assert pod("serving")["terminationGracePeriodSeconds"] >= leaves + 20.5  # the app's own, in serving/server.py
    probed = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert probed == {"startup": "/live", "readiness": "/ready", "liveness": "/live"}
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < 15
    longer = changed(replicas={"bake_seconds": 600})["Deployment", "serving"]["spec"]
    assert (spec["minReadySeconds"], longer["minReadySeconds"], longer["progressDeadlineSeconds"]) == (5, 600, 1200)
    budget = objects()["PodDisruptionBudget", "serving"]["spec"]
    assert budget["selector"] == spec["selector"] and spec["replicas"] == 2


def test_what_a_service_selects_is_there_and_listens_where_it_says():
    for (kind, name), service in objects().items():
        if kind == "Service" and name != "training":
            chosen = service["spec"]["selector"]["app.kubernetes.io/component"]
            (container,) = pod(chosen)["containers"]
            (port,) = container["ports"]
            assert service["spec"]["ports"][0]["port"] == port["containerPort"] and port["name"] == "http"


def allowed(direction, component):
    """Return (peer or None, port) of each flow that the network policies allow a component."""
    flows = set()
    for (kind, _), one in objects().items():
        chosen = one.get("spec", {}).get("podSelector", {}) if kind == "NetworkPolicy" else None
        if kind != "NetworkPolicy" or not selects(chosen, component):
            continue
        for rule in one["spec"].get(direction, []):
            ports = [port["port"] for port in rule.get("ports", [{"port": None}])]
            peers = rule.get("to", rule.get("from", [None]))
            named = [None if peer is None else name for peer in peers for name in [*PODS, "pipelines"]
                     if peer is None or selects(peer["podSelector"], name)]  # fmt: skip
            flows |= {(peer, port) for peer in named for port in ports}
    return flows


def selects(selector, component):
    label = "app.kubernetes.io/component"
    stated = selector.get("matchLabels", {}).get(label)
    among = [one["values"] for one in selector.get("matchExpressions", []) if one["key"] == label]
    return stated in (None, component) and all(component in values for values in among)


def test_traffic_is_denied_but_for_what_the_parts_need():
    assert objects()["NetworkPolicy", "deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert allowed("egress", "serving") == {(None, 53), (None, 4566)}
    assert allowed("ingress", "serving") == {(None, 8080)}
    assert ("mlflow", 5000) in allowed("egress", "pipelines") and ("pipelines", 5000) in allowed("ingress", "mlflow")
    assert allowed("egress", "grafana") == {(None, 53), ("prometheus", 9090)}
    assert allowed("ingress", "prometheus") == {("grafana", 9090)}
    assert allowed("ingress", "watch") == {("prometheus", 8000), ("alertmanager", 8000)}
    assert ("alertmanager", 9093) in allowed("egress", "prometheus")


def test_the_document_is_what_the_pipelines_read():
    content = next(one.props["content"] for one in local() if one.type == "aws:s3/bucketObjectv2:BucketObjectv2")
    found = Stack.from_json(content)
    assert (found.environment, found.mlflow) == ("local", "http://mlflow.thing-local.svc:5000")
    assert found.endpoint is None and found.endpoint_url == "http://host.minikube.internal:4566"
    assert found.compute.image == "thing-steps:local" and found.store.bucket == "thing-local-store-000000000000"


def test_a_second_run_registers_the_same():
    assert [(one.urn, one.props) for one in record(plan())] == [(one.urn, one.props) for one in local()]


def test_a_changed_configuration_file_replaces_the_pod_that_reads_it():
    one, other = (template(plan().names, Pod("part", "image:1", SIZE, content=content)) for content in ("a", "b"))
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert (
        "checksum/configuration" in objects()["Deployment", "prometheus"]["spec"]["template"]["metadata"]["annotations"]
    )


def test_a_step_that_needs_a_gpu_asks_for_it_where_there_are_some():
    assert "gpu.json" not in objects()["ConfigMap", "job"]["data"]
    made = changed(gpu={"count": 2, "nodes": {"pool": "gpu"}})
    spec = json.loads(made["ConfigMap", "job"]["data"]["gpu.json"])["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    resources = spec["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "2"
    assert "requests.nvidia.com/gpu" in made["ResourceQuota", "all"]["spec"]["hard"]


def test_schedules_are_those_that_were_rendered():
    found = {name: one["spec"] for (kind, name), one in objects().items() if kind == "CronJob"}
    assert {name: spec["schedule"] for name, spec in found.items()} == {
        "feature": "0 3 * * *", "monitor": "0 6 * * *", "continuous-training": "0 * * * *",
    }  # fmt: skip
    (container,) = pod("continuous-training", "CronJob")["containers"]
    assert container["command"] == ["job", "run", "continuous_training", "--run-id", "$(RUN_ID)"]
    assert all(spec["concurrencyPolicy"] == "Forbid" and spec["timeZone"] == "Etc/UTC" for spec in found.values())


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("rate(1 minute)", "* * * * *"),
        ("rate(15 minutes)", "*/15 * * * *"),
        ("rate(6 hours)", "0 */6 * * *"),
        ("rate(1 day)", "0 0 * * *"),
        ("cron(30 4 ? * 1 *)", "30 4 * * 0"),
        ("cron(0 1 ? * SUN *)", "0 1 * * SUN"),
        ("cron(0/5 1-3 1 * ? *)", "0/5 1-3 1 * *"),
    ],
)
def test_a_schedule_means_the_same_to_cron(expression, said):
    assert cron(expression) == said


@pytest.mark.parametrize("expression", ["rate(7 minutes)", "rate(2 days)", "cron(0 3 L * ? *)", "cron(0 3 * * ? 2027)"])
def test_a_schedule_that_cron_cannot_say_is_refused(expression):
    with pytest.raises(UserError, match="cron cannot express the schedule"):
        cron(expression)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": {"serve": "thing-serve"}}, "images.serve"),
        ({"replicas": {"least": 5}}, "least 5 is more than most 3"),
        ({"emulator": "localhost:4566"}, "emulator"),
        ({"secrets": {**SECRETS, "alerts_token": "short"}}, "secrets.alerts_token"),
        ({"callers": {"shop": {"token_sha256": "a-token"}}}, "callers: the token_sha256 of shop is no SHA-256"),
        ({"gpus": {}}, "unknown key; did you mean 'gpu'?"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(changes, reason):
    with pytest.raises(UserError, match=r"^infra/Pulumi\.local\.yaml: ") as refused:
        plan(**changes)
    assert reason in str(refused.value)
    assert "a-token" not in str(refused.value)


def test_missing_secrets_are_said_with_how_they_are_made():
    from infra.program import LOCAL, stated, wanted_local

    with pytest.raises(UserError, match="make local-up"):
        wanted_local(stated(LOCAL))


def test_the_serving_app_asks_for_tokens_only_where_callers_are_stated():
    def parts(**changes):
        made = changed(**changes)
        (container,) = made["Deployment", "serving"]["spec"]["template"]["spec"]["containers"]
        return made, container

    made, container = parts()
    assert container["command"][-1] == "--anyone"
    assert ("ConfigMap", "callers") not in made
    callers = {"checkout": {"token_sha256": "0" * 64, "requests_per_second": 5}, "search": {"token_sha256": "1" * 64}}
    made, container = parts(callers=callers)
    assert "--anyone" not in container["command"]
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == "/etc/callers"]
    assert mount["readOnly"]
    assert {"name": "RATCHET_CALLERS", "value": "/etc/callers/callers.toml"} in container["env"]
    text = made["ConfigMap", "callers"]["data"]["callers.toml"]
    assert parse_toml(text, CallersFile, "callers.toml").callers.keys() == callers.keys()

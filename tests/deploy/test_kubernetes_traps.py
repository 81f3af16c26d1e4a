"""What goes wrong with a service on KubeRay, and does not here."""

from __future__ import annotations

import pytest

from service.config import ServiceConfig
from tests.deploy.manifests import (
    BASE,
    OVERLAYS,
    SERVING,
    Document,
    container,
    documents,
    groups,
    of_kind,
    pods,
    selects,
    serve_config,
    settings,
    worker,
)

PROTECTED = [name for name in SERVING if name != "dev"]


@pytest.mark.parametrize("name", [BASE, *OVERLAYS])
def test_every_pod_is_unprivileged_and_bounded(name: str) -> None:
    for pod in pods(documents(name)):
        spec, one = pod["spec"], container(pod)
        own = one["securityContext"]
        common = spec.get("securityContext", {}) | own
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert common["runAsNonRoot"] is True
        assert common["runAsUser"] > 0
        assert common["seccompProfile"] == {"type": "RuntimeDefault"}
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= one["resources"][bound].keys()
        assert one["resources"]["requests"]["memory"] == one["resources"]["limits"]["memory"] or (
            one["name"] == "redis"
        )
        for volume in spec["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume["name"]


@pytest.mark.parametrize("name", ["training", "fill"])
def test_what_writes_bundles_writes_those_that_are_served(name: str) -> None:
    (pod,) = pods(documents(name))
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"]
        for v in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    }
    mounts = {m["mountPath"]: m for m in container(pod)["volumeMounts"]}
    bundles = mounts[settings(documents(BASE))["LOGDET_BUNDLES"]]
    served = of_kind(documents(BASE), "PersistentVolumeClaim")
    assert claims[bundles["name"]] == served["metadata"]["name"]
    assert not bundles.get("readOnly")
    # Several machines mount it at once.
    assert served["spec"]["accessModes"] == ["ReadWriteMany"]
    # All of it is there before the service is, which does not start without a bundle.
    made = [d for d in documents("training") if d["kind"] == "PersistentVolumeClaim"]
    assert served in made
    assert set(claims.values()) == {claim["metadata"]["name"] for claim in made}
    assert mounts["/data"]["name"] in claims
    # Ray's pods are found by these labels; what trains is none of them.
    policy = of_kind(documents(BASE), "NetworkPolicy")["spec"]
    assert not selects(policy["podSelector"], labels(pod))


@pytest.mark.parametrize("name", [BASE, *SERVING, "training", "fill"])
def test_no_pod_has_a_token_of_kubernetes_or_the_addresses_of_services(name: str) -> None:
    for pod in pods(documents(name)):
        assert pod["spec"]["automountServiceAccountToken"] is False
        # Else a Service called logdet would be the setting LOGDET_PORT.
        assert pod["spec"]["enableServiceLinks"] is False


def test_a_service_called_logdet_would_be_taken_for_a_setting() -> None:
    with pytest.raises(Exception, match="LOGDET_PORT"):
        ServiceConfig.from_environ({"LOGDET_PORT": "tcp://10.0.0.1:8000"})


@pytest.mark.parametrize("name", [BASE, *SERVING])
def test_every_process_can_write_to_tmp_and_every_mount_has_its_volume(name: str) -> None:
    for pod in pods([of_kind(documents(name), "RayService")]):
        mounts = {mount["mountPath"]: mount for mount in container(pod)["volumeMounts"]}
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in mounts.values()} <= volumes
        assert {"/tmp", "/dev/shm"} <= mounts.keys()  # noqa: S108 - in a pod
        assert not mounts["/tmp"].get("readOnly")  # noqa: S108


@pytest.mark.parametrize("name", [BASE, *PROTECTED])
def test_the_file_of_tokens_is_where_the_service_reads_it(name: str) -> None:
    found = documents(name)
    folder, _, file = settings(found)["LOGDET_TOKENS_FILE"].rpartition("/")
    for pod in pods([of_kind(found, "RayService")]):
        mounts = {mount["mountPath"]: mount for mount in container(pod)["volumeMounts"]}
        assert mounts[folder]["readOnly"] is True
        secrets = {v["name"]: v["secret"] for v in pod["spec"]["volumes"] if "secret" in v}
        secret = secrets[mounts[folder]["name"]]
        assert secret["secretName"] == "logdet-tokens"
        # What only Prometheus is to have is not mounted.
        assert [item["path"] for item in secret["items"]] == [file]


@pytest.mark.parametrize("name", [BASE, *SERVING])
def test_ray_asks_for_a_token_and_no_replica_runs_on_the_head(name: str) -> None:
    spec = of_kind(documents(name), "RayService")["spec"]
    cluster = spec["rayClusterConfig"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    # Nothing answers gRPC there.
    assert spec["excludeHeadPodFromServeSvc"] is True
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}


@pytest.mark.parametrize("name", [BASE, *SERVING])
def test_no_service_of_ours_leads_to_rays_own_ports(name: str) -> None:
    found = documents(name)
    ray_service = of_kind(found, "RayService")
    # KubeRay takes no port into the Service whose name begins otherwise.
    ports = ray_service["spec"]["serveService"]["spec"]["ports"]
    assert all(port["name"].startswith("serve") for port in ports)
    assert {port["port"] for port in ports} == {8000, 8001}
    assert ray_service["spec"]["serveService"]["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert "enableIngress" not in ray_service["spec"]["rayClusterConfig"]["headGroupSpec"]
    others = [document for document in found if document["kind"] in ("Service", "Ingress")]
    for service in others:
        for pod in pods([ray_service]):
            assert not selects({"matchLabels": service["spec"]["selector"]}, labels(pod))


def labels(pod: Document) -> dict[str, str]:
    return dict(pod["metadata"]["labels"])


@pytest.mark.parametrize("name", [BASE, *SERVING])
def test_only_own_pods_reach_rays_ports(name: str) -> None:
    found = documents(name)
    policies = [d["spec"] for d in found if d["kind"] == "NetworkPolicy"]
    for pod in pods([of_kind(found, "RayService")]):
        (policy,) = [p for p in policies if selects(p["podSelector"], labels(pod))]
        assert policy["policyTypes"] == ["Ingress"]
        everywhere = [rule for rule in policy["ingress"] if "from" not in rule]
        assert [[p["port"] for p in rule["ports"]] for rule in everywhere] == [[8000, 8001]]
        unbounded = [rule for rule in policy["ingress"] if "ports" not in rule]
        (own,) = [source for rule in unbounded for source in rule["from"]]
        assert own.keys() == {"podSelector"}  # of this namespace
        assert selects(own["podSelector"], labels(pod))
        others = {"app.kubernetes.io/name": "grafana"}
        assert not selects(own["podSelector"], others)
        assert not selects(own["podSelector"], {"app.kubernetes.io/name": "logdet-train"})


def reached_by(stranger: dict[str, str], name: str = BASE) -> list[list[int]]:
    """Ports of the cluster's pods that a pod of another namespace may reach, beside the API's."""
    policies = [d for d in documents(name) if d["kind"] == "NetworkPolicy"]
    (policy,) = [d for d in policies if d["metadata"]["name"] == "logdet-ray"]
    return [
        [entry["port"] for entry in rule["ports"]]
        for rule in policy["spec"]["ingress"]
        for source in rule.get("from", [])
        if source.get("namespaceSelector") == {} and selects(source["podSelector"], stranger)
    ]


@pytest.mark.parametrize(
    "operator",
    [
        {"app.kubernetes.io/name": "kuberay-operator"},
        {
            "app.kubernetes.io/name": "kuberay",
            "app.kubernetes.io/component": "kuberay-operator",
        },
    ],
    ids=["by Helm", "by Kustomize"],
)
def test_the_operator_reaches_the_dashboard(operator: dict[str, str]) -> None:
    assert reached_by(operator) == [[8265]]


@pytest.mark.parametrize("name", PROTECTED)
def test_prometheus_reaches_what_the_pod_monitor_has_it_scrape(name: str) -> None:
    found = documents(name)
    head, *_ = pods([of_kind(found, "RayService")])
    ports = {port["name"]: port["containerPort"] for port in container(head)["ports"]}
    monitored = of_kind(found, "PodMonitor")["spec"]["podMetricsEndpoints"]
    asked = [ports[endpoint["port"]] for endpoint in monitored]
    assert reached_by({"app.kubernetes.io/name": "prometheus"}, name) == [asked]


@pytest.mark.parametrize("name", [BASE, *PROTECTED])
def test_evictions_are_bounded_by_a_number_of_workers(name: str) -> None:
    found = documents(name)
    budget = of_kind(found, "PodDisruptionBudget")["spec"]
    # Of pods whose owner has no scale subresource, Kubernetes knows what a number means, and
    # with maxUnavailable or a percentage it evicts none.
    assert "maxUnavailable" not in budget
    assert isinstance(budget["minAvailable"], int)
    ray_service = of_kind(found, "RayService")
    assert budget["minAvailable"] < worker(ray_service)["minReplicas"]
    chosen = [selects(budget["selector"], labels(pod)) for pod in pods([ray_service])]
    assert chosen == [False, True]  # head, workers


@pytest.mark.parametrize("name", PROTECTED)
def test_only_the_autoscaler_speaks_to_kubernetes(name: str) -> None:
    found = documents(name)
    cluster = of_kind(found, "RayService")["spec"]["rayClusterConfig"]
    assert cluster["enableInTreeAutoscaling"] is True
    options, head = cluster["autoscalerOptions"], cluster["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in options["volumeMounts"]}
    token = mounts["/var/run/secrets/kubernetes.io/serviceaccount"]
    assert token in volumes
    for pod in pods([of_kind(found, "RayService")]):
        assert token not in [mount["name"] for mount in container(pod)["volumeMounts"]]
    assert mounts["/tmp"] in volumes  # noqa: S108 - its root filesystem is read-only as well
    assert options["securityContext"] == container({"spec": head})["securityContext"]
    accounts = {d["metadata"]["name"]: d for d in found if d["kind"] == "ServiceAccount"}
    # KubeRay binds its Role to an account that it expects to be there.
    assert head["serviceAccountName"] in accounts
    for group in groups(of_kind(found, "RayService"))[1:]:
        assert group["template"]["spec"]["serviceAccountName"] in accounts
        assert group["template"]["spec"]["serviceAccountName"] != head["serviceAccountName"]


def test_with_redis_a_head_is_replaced_and_without_it_is_left_alone() -> None:
    kept, lost = documents("redis"), documents("cpu")
    ray_service = of_kind(kept, "RayService")
    options = ray_service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    service = of_kind(kept, "Service")
    host, _, port = options["redisAddress"].partition(":")
    assert host == service["metadata"]["name"]
    assert int(port) == service["spec"]["ports"][0]["port"]
    store = of_kind(kept, "StatefulSet")["spec"]
    assert selects({"matchLabels": service["spec"]["selector"]}, labels(store["template"]))
    assert selects(store["selector"], labels(store["template"]))
    key = options["redisPassword"]["valueFrom"]["secretKeyRef"]
    (variable,) = container(store["template"])["env"]
    assert variable["valueFrom"]["secretKeyRef"] == key
    policy = next(
        d for d in kept if d["metadata"]["name"] == "logdet-redis" and d["kind"] == "NetworkPolicy"
    )["spec"]
    assert selects(policy["podSelector"], labels(store["template"]))
    (source,) = policy["ingress"][0]["from"]
    assert all(selects(source["podSelector"], labels(pod)) for pod in pods([ray_service]))
    annotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    heads = [groups(of_kind(found, "RayService"))[0]["template"] for found in (kept, lost)]
    told = [head["metadata"].get("annotations", {}).get(annotation) for head in heads]
    assert told == [None, "false"]


def test_a_bucket_takes_the_place_of_the_volume() -> None:
    found = documents("bucket")
    assert "PersistentVolumeClaim" not in [document["kind"] for document in found]
    for pod in pods([of_kind(found, "RayService")]):
        assert "bundles" not in [volume["name"] for volume in pod["spec"]["volumes"]]
        assert "/bundles" not in [m["mountPath"] for m in container(pod)["volumeMounts"]]
        # Of one variable in several sources, Kubernetes takes the last.
        assert container(pod)["envFrom"][1:] == [
            {"configMapRef": {"name": "logdet-bucket"}},
            {"secretRef": {"name": "logdet-bucket", "optional": True}},
        ]
        assert "LOGDET_BUNDLES" not in [entry["name"] for entry in container(pod)["env"]]


def test_a_changed_setting_is_a_changed_cluster() -> None:
    names = {
        of_kind(documents(name), "ConfigMap")["metadata"]["name"] for name in ("cpu", "gpu", "dev")
    }
    assert len(names) == 3
    assert all(name.startswith("logdet-settings-") for name in names)


@pytest.mark.parametrize("name", PROTECTED)
def test_the_loss_of_a_node_is_not_that_of_the_service(name: str) -> None:
    ray_service = of_kind(documents(name), "RayService")
    group = worker(ray_service)
    assert group["minReplicas"] >= 2
    (spread,) = group["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert selects(spread["labelSelector"], labels(pods([ray_service])[1]))
    assert serve_config(ray_service)["proxy_location"] == "EveryNode"

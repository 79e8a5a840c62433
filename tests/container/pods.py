"""Checks the manifests of deploy/kubernetes, and translates them into pods that podman can play.

    pods.py check          prints what is wrong with the settings that matter; the exit status is then 1
    pods.py broker         prints the broker's pod, with its configuration and its volume, as YAML
    pods.py shop BROKER    prints the application's pod; BROKER is the address to which the Service's name resolves
    pods.py drain          prints the sidecar's preStop command, one argument per line
    pods.py probe          prints the command of the broker's liveness probe, likewise

podman 4.3 supports neither StatefulSets, Services nor init containers that keep running, and publishes every
containerPort on the host. These are translated; everything else is played as written.
"""
import pathlib
import sys

import yaml

FOLDER = pathlib.Path(__file__).parents[2] / "deploy/kubernetes"
DOCUMENTS = [d for file in sorted(FOLDER.glob("*.yaml")) for d in yaml.safe_load_all(file.read_text()) if d]
USER = "65532"


def only(kind):
    found = [d for d in DOCUMENTS if d["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def pod(name, template, containers, **more):
    containers = [{k: v for k, v in c.items() if k not in ("ports", "restartPolicy")} for c in containers]
    spec = {k: v for k, v in template["spec"].items() if k != "initContainers"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": template["metadata"]["labels"]},
            "spec": {**spec, "containers": containers, **more}}


def broker_documents():
    stateful = only("StatefulSet")["spec"]
    template = stateful["template"]
    claims = [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": c["spec"],
               # The annotations do what fsGroup does in Kubernetes.
               "metadata": {"name": "sluice-" + c["metadata"]["name"],
                            "annotations": {"volume.podman.io/uid": USER, "volume.podman.io/gid": USER}}}
              for c in stateful["volumeClaimTemplates"]]
    volumes = template["spec"]["volumes"] + [
        {"name": c["metadata"]["name"], "persistentVolumeClaim": {"claimName": "sluice-" + c["metadata"]["name"]}}
        for c in stateful["volumeClaimTemplates"]]
    return [only("ConfigMap"), *claims, pod("broker", template, template["spec"]["containers"], volumes=volumes)]


def shop_documents(address):
    template = only("Deployment")["spec"]["template"]
    containers = template["spec"]["initContainers"] + template["spec"]["containers"]
    return [pod("shop", template, containers,
                hostAliases=[{"ip": address, "hostnames": [only("Service")["metadata"]["name"]]}])]


def seconds(text):
    return float(text.removesuffix("s"))


def faults_of_the_broker_s_probes(broker):
    """The broker has no HTTP: its probes ping its event loop. An impatient probe would kill a broker that is busy or
    still reads its log."""
    listen = next(line.split()[1] for line in only("ConfigMap")["data"]["broker.yaml"].splitlines()
                  if line.startswith("listen:"))
    for kind, patience in (("startupProbe", 1800), ("livenessProbe", 60)):
        probe = broker[kind]
        command = probe["exec"]["command"]
        if command[:2] != ["/usr/bin/sluice", "ping"] or command[-1] != listen.replace("0.0.0.0", "127.0.0.1"):
            yield f"the broker's {kind} does not ping where it listens"
        if command[command.index("--count") + 1] != "1":
            yield f"the broker's {kind} pings more than once"
        if seconds(command[command.index("--wait") + 1]) + 2 > probe["timeoutSeconds"]:
            yield f"the broker's {kind} is cut off before it can say that nobody answers"
        if probe["periodSeconds"] * probe["failureThreshold"] < patience:
            yield f"the broker's {kind} is impatient: it restarts a broker in less than {patience} s"


def faults():
    """Yields one sentence for each fault."""
    application = only("Deployment")["spec"]["template"]
    sidecar = application["spec"]["initContainers"][0]
    probe = {"port": 9481}
    if sidecar.get("restartPolicy") != "Always":
        yield "the sidecar is not a native sidecar: its init container needs restartPolicy Always to keep running"
    if sidecar["startupProbe"]["httpGet"] != {"path": "/startupz", **probe}:
        yield "the sidecar's startup probe does not ask /startupz"
    if sidecar["livenessProbe"]["httpGet"] != {"path": "/livez", **probe}:
        yield "the sidecar's liveness probe does not ask /livez"
    if "readinessProbe" in sidecar:
        yield "a readiness probe takes every application out of its Service when the broker restarts"
    if sidecar["lifecycle"]["preStop"]["exec"]["command"][-1] != "drain":
        yield "the sidecar does not drain before it is stopped"
    for template in application, only("StatefulSet")["spec"]["template"]:
        if template["metadata"]["annotations"] != {"prometheus.io/scrape": "true", "prometheus.io/port": "9481"}:
            yield "a sidecar's metrics are not scraped: nobody would be told that it is not attached"
    if application["metadata"]["labels"].get("sluice") != "client":
        yield "the NetworkPolicy admits pods with the label sluice: client, which the application lacks"
    if application["spec"]["terminationGracePeriodSeconds"] < 25:
        yield "the sidecar is killed before its drain can end: drain_limit (20 s) and 5 s more"
    broker = only("StatefulSet")["spec"]["template"]["spec"]
    yield from faults_of_the_broker_s_probes(broker["containers"][0])
    clients = [d["spec"] for d in DOCUMENTS if d["kind"] == "NetworkPolicy"
               and d["spec"]["podSelector"]["matchLabels"] == {"sluice": "client"}]
    inbox = int(sidecar["command"][sidecar["command"].index("--inbox") + 1].rpartition(":")[2])
    from_broker = {"from": [{"podSelector": {"matchLabels": {"app": "sluice"}}}], "ports": [{"port": inbox}]}
    if from_broker not in clients[0]["ingress"]:
        yield "the NetworkPolicy does not admit the broker to the clients' inbox"
    pods = [application["spec"], broker]
    for container, spec in [(c, s) for s in pods for c in s.get("initContainers", []) + s["containers"]]:
        security = {**spec["securityContext"], **container["securityContext"]}
        wanted = {"runAsNonRoot": True, "runAsUser": int(USER), "readOnlyRootFilesystem": True,
                  "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
                  "seccompProfile": {"type": "RuntimeDefault"}}  # more than Pod Security's "restricted" asks
        if {k: security.get(k) for k in wanted} != wanted:
            yield f"{container['name']} does not run as the manifests promise: {wanted}"
        resources = container["resources"]
        if not {"cpu", "memory"} <= resources["requests"].keys() or "memory" not in resources["limits"]:
            yield f"{container['name']} requests no cpu or memory, or has no memory limit"


def main(what, *arguments):
    if what == "check":
        found = list(faults())
        print("\n".join(found) or "the manifests' settings are as they should be")
        return 1 if found else 0
    if what == "drain":
        sidecar = only("Deployment")["spec"]["template"]["spec"]["initContainers"][0]
        print("\n".join(sidecar["lifecycle"]["preStop"]["exec"]["command"]))
        return 0
    if what == "probe":
        broker = only("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
        print("\n".join(broker["livenessProbe"]["exec"]["command"]))
        return 0
    yaml.safe_dump_all(broker_documents() if what == "broker" else shop_documents(*arguments), sys.stdout)
    return 0


sys.exit(main(*sys.argv[1:]))

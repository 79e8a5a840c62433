"""The manifests of deploy/kubernetes, looked at and made into what podman can play.

    pods.py check          says what is wrong with the settings that matter; exit status 1 then
    pods.py broker         the broker's pod, with its configuration and its volume, as YAML
    pods.py shop BROKER    the application's pod; BROKER is the address that the Service's name stands for
    pods.py drain          the sidecar's preStop command, an argument a line

podman (4.3) knows neither StatefulSets and Services nor init containers that keep running, and publishes every containerPort
on the host; those are translated. Everything else is played as it is written.
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
               "metadata": {"name": "sluice-" + c["metadata"]["name"],  # what fsGroup does in Kubernetes
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


def faults():
    """Sentences; none when all is well."""
    application = only("Deployment")["spec"]["template"]
    sidecar = application["spec"]["initContainers"][0]
    probe = {"port": 9481}
    if sidecar.get("restartPolicy") != "Always":
        yield "the sidecar is no native one: an init container needs restartPolicy Always to keep running"
    if sidecar["startupProbe"]["httpGet"] != {"path": "/startupz", **probe}:
        yield "the sidecar's startup probe does not ask /startupz"
    if sidecar["livenessProbe"]["httpGet"] != {"path": "/livez", **probe}:
        yield "the sidecar's liveness probe does not ask /livez"
    if "readinessProbe" in sidecar:
        yield "a readiness probe takes every application out of its Service when the broker restarts"
    if sidecar["lifecycle"]["preStop"]["exec"]["command"][-1] != "drain":
        yield "the sidecar does not drain before it is stopped"
    if application["metadata"]["labels"].get("sluice") != "client":
        yield "the NetworkPolicy lets pods with the label sluice: client in, and the application has it not"
    broker = only("StatefulSet")["spec"]["template"]["spec"]
    for container, spec in [(sidecar, {}), *((c, broker["securityContext"]) for c in broker["containers"])]:
        security = {**spec, **container["securityContext"]}
        wanted = {"runAsNonRoot": True, "runAsUser": int(USER), "readOnlyRootFilesystem": True,
                  "allowPrivilegeEscalation": False}
        if {k: security.get(k) for k in wanted} != wanted:
            yield f"{container['name']} does not run as the manifests promise: {wanted}"
        if not {"cpu", "memory"} <= container["resources"]["requests"].keys() or "memory" not in container["resources"]["limits"]:
            yield f"{container['name']} asks for no cpu or memory, or has no limit"


def main(what, *arguments):
    if what == "check":
        found = list(faults())
        print("\n".join(found) or "the manifests' settings are as they should be")
        return 1 if found else 0
    if what == "drain":
        print("\n".join(only("Deployment")["spec"]["template"]["spec"]["initContainers"][0]["lifecycle"]["preStop"]["exec"]["command"]))
        return 0
    yaml.safe_dump_all(broker_documents() if what == "broker" else shop_documents(*arguments), sys.stdout)
    return 0


sys.exit(main(*sys.argv[1:]))

"""The API's description (sidecar/api/openapi.json) lists exactly the paths and parameters that exist. Its statuses,
headers and bodies are checked by description.py and test_operate.py."""
import pathlib
import re

from description import API, operations, resolve

ROUTES = (pathlib.Path(__file__).parents[2] / "sidecar/api/routes.c").read_text()
DAPR_S_REFUSALS = {("POST", "/v1.0/publish/{p}"), ("POST", "/v1.0/publish/{p}/")}


def parameters_of(key, place):
    given = API["paths"][key[1]].get("parameters", []) + operations()[key].get("parameters", [])
    return {p["name"] for p in map(resolve, given) if p["in"] == place}


def test_the_description_lists_every_path_and_no_other():
    assert set(re.findall(r'\{ "([A-Z]+)", "(/[^"]*)", ON_', ROUTES)) - DAPR_S_REFUSALS == set(operations())


def test_the_description_lists_every_parameter_and_no_other(sidecar):
    for method, pattern in operations():
        assert parameters_of((method, pattern), "path") == set(re.findall(r"\{(\w)\}", pattern))
        if pattern.startswith("/v1.0/"):
            continue  # these calls ignore unknown parameters
        path = re.sub(r"\{\w\}", lambda m: "1" if m[0] == "{n}" else m[0][1], pattern)
        answer = sidecar.ops(method, path + "?nobody=1", "{}" if method in ("PUT", "POST") else None)
        known = re.search("unknown query parameter 'nobody'; known here: (.*)", answer.json["detail"])[1]
        assert set(known.split(", ")) - {"none"} == parameters_of((method, pattern), "query"), (method, pattern)


def test_a_call_that_takes_no_body_refuses_one_and_names_its_parameters(sidecar):
    """Otherwise POST purge with {"state":"dead"} in its body would purge the live events."""
    sidecar.declare("q")  # the first call publishes to it
    for method, pattern in operations():
        if not pattern.startswith("/v1/"):
            continue
        path = re.sub(r"\{\w\}", lambda m: "1" if m[0] == "{n}" else m[0][1], pattern)
        answer = sidecar.ops(method, path, '{"nobody":1}')
        said = "" if answer.status < 400 else answer.json["detail"]
        known = re.fullmatch("this call takes no body; (?:it has no parameters|"
                             "its parameters are in the query: (.*))", said)
        if "requestBody" in operations()[method, pattern]:
            assert not known, (method, pattern)
        else:
            assert answer.status == 400 and known, (method, pattern, answer.body)
            assert set((known[1] or "").split(", ")) - {""} == parameters_of((method, pattern), "query")
    assert sidecar.http("GET", "/v1/queues/q").json["ready"] == 1
    for nothing in (None, "", "{}", " null\n"):  # as clients send it that always send something
        assert sidecar.ops("POST", "/v1/queues/q/pause", nothing).status == 200, nothing
    assert sidecar.ops("POST", "/v1/queues/q/purge", "{}").json == {"purged": 1}

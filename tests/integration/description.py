"""Checks every answer that any test receives against the API's description (sidecar/api/openapi.json): its status must
be listed for the call, the promised headers must be present, and the body must match the schema."""
import functools
import json
import pathlib
import re

import jsonschema

API = json.loads((pathlib.Path(__file__).parents[2] / "sidecar/api/openapi.json").read_text())
REASONS = API["components"]["schemas"]["Reason"]["x-reasons"]
seen = set()  # (method, pattern, status)


@functools.cache
def operations():
    """Returns the described operations by (method, path pattern)."""
    return {(m.upper(), p): o for p, item in API["paths"].items() for m, o in item.items() if m != "parameters"}


def resolve(node):
    while "$ref" in node:
        node = functools.reduce(dict.__getitem__, node["$ref"].removeprefix("#/").split("/"), API)
    return node


def pattern_of(path):
    for pattern in API["paths"]:
        if re.fullmatch(re.sub(r"\{\w\}", "[^/]+", pattern.replace(".", r"\.")), path.split("?")[0]):
            return pattern
    return None


@functools.cache
def validator(pattern, method, status, kind):
    schema = resolve(API["paths"][pattern][method]["responses"][status])["content"][kind]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": API["components"]})


def check_problem(answer):
    problem = answer.json
    assert answer.headers["Content-Type"] == "application/problem+json"
    reason = REASONS[problem["reason"]]
    assert problem["status"] == answer.status == reason["status"], problem
    assert problem["title"] == reason["title"] and problem["type"] == "urn:sluice:reason:" + problem["reason"]
    assert reason["retryable"] or not problem["retryable"], problem
    assert ("Retry-After" in answer.headers) == (answer.status in (429, 503, 507)), (problem, dict(answer.headers))


def check(method, path, answer):
    """Fails the test unless `answer`, an object with status, headers, body and json, is as described."""
    by_library = answer.headers.get("Content-Type") is None and answer.status >= 400  # libmicrohttpd's own
    if by_library:
        return
    pattern = pattern_of(path)
    if answer.status >= 400 and answer.body and answer.headers["Content-Type"] == "application/problem+json":
        check_problem(answer)
    elif answer.status >= 400 and answer.body:
        assert pattern and pattern.startswith("/v1.0/"), (path, answer.headers["Content-Type"])
    if method == "OPTIONS" and answer.status == 204:  # a browser's preflight, the same for every path
        assert pattern and answer.headers["Access-Control-Allow-Origin"] and not answer.body, path
        return
    operation = operations().get(("GET" if method == "HEAD" else method, pattern))
    if operation is None:
        assert answer.status in (401, 403, 404, 405, 431), (method, path, answer.status)
        return
    status = str(answer.status)
    assert status in operation["responses"], (method, path, status, answer.body)
    response = resolve(operation["responses"][status])
    seen.add((method, pattern, answer.status))
    for name, header in response.get("headers", {}).items():
        assert name in answer.headers or not header.get("required"), (method, path, name)
        if name in answer.headers and header["schema"].get("type") == "integer":
            jsonschema.validate(int(answer.headers[name]), header["schema"])
    if method == "HEAD" or "content" not in response:
        assert answer.body == b"", (method, path, answer.body)
        return
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in response["content"], (method, path, kind)
    if kind.endswith("json"):
        validator(pattern, method.lower(), status, kind).validate(answer.json)

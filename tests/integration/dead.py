"""Helpers for tests that make events fail, inspect dead letters, and redrive them. `s` is a sidecar."""
from conftest import until


def take_one(s, queue="q"):
    """Takes the next event; fails the test if none arrives within 25 s."""
    events = s.take(queue, wait="25s").json["events"]
    assert len(events) == 1
    return events[0]


def settle(s, queue="q", **lists):
    """Posts `lists` (ack=…, nack=…) to /acks and returns the results in order."""
    answer = s.http("POST", f"/v1/queues/{queue}/acks", lists)
    assert answer.status == 200, answer.body
    return [r["result"] for r in answer.json["results"]]


def fail(s, queue="q", **said):
    """Takes the next event and nacks it with `said` (error=…, delay=…). Returns the event."""
    taken = take_one(s, queue)
    assert settle(s, queue, nack=[{"receipt": taken["receipt"], **said}]) == ["nacked"]
    return taken


def make_dead(s, count=1, queue="q", data="x", **said):
    """Publishes `count` events and fails each once. In a queue with max_deliveries 1 they become dead letters."""
    for i in range(count):
        assert s.publish(queue, f"{data}{i}").status == 202
        fail(s, queue, **said)


def describe(s, queue="q"):
    return s.http("GET", f"/v1/queues/{queue}").json


def peek(s, state, queue="q", query=""):
    return s.http("GET", f"/v1/queues/{queue}/peek?max=1000&state={state}{query}").json["events"]


def redrive(s, body=None, queue="q"):
    answer = s.ops("POST", f"/v1/queues/{queue}/redrive", body)
    assert answer.status == 200, answer.body
    return answer.json


def until_figure(s, figure, value, queue="q"):
    """Waits until the queue's description has this value of the figure."""
    until(lambda: describe(s, queue)[figure] == value, 40, otherwise=f"{figure} is never {value}")


def environment(s):
    """Returns the environment in which the command line finds the sidecar."""
    return {"SLUICE_URL": "http://" + s.ready["http"], "SLUICE_OPS_URL": "http://" + s.ready["ops"]}


def sync_to_disk(s):
    """Returns when everything written so far is on disk: a call that changes a queue is answered after its own sync."""
    assert s.ops("POST", "/v1/queues/q/resume").status == 200


def take_all(s, count, settle_them):
    """Takes events and settles them with settle_them(receipts) until there were `count`. Returns their ids."""
    ids = []
    while len(ids) < count:
        taken = s.take("q", max=1000, wait="25s").json["events"]
        assert taken
        settle_them([e["receipt"] for e in taken])
        ids += [e["event"]["id"] for e in taken]
    return ids


def peek_all(s, state, page=1000):
    seen, at = [], 1
    while at:
        answer = s.http("GET", f"/v1/queues/q/peek?state={state}&max={page}&from={at}").json
        seen += answer["events"]
        at = answer["next"]
    return seen

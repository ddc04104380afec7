"""What operators see: metrics, ids, traces, the access log."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .conftest import TEXTS, Server, Start

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
Values = dict[tuple[str, ...], float]


def read(server: Server) -> Values:
    """Samples by their name and the values of their labels, in the order of the labels' names."""
    found = server.client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(found.text)
        for sample in family.samples
    }


def test_metrics_count_what_was_answered_and_what_was_not(server: Server) -> None:
    before = read(server)
    server.client.post("/predict", json=["lights off", "play jazz", "x " * 200])
    server.client.post("/predict/tags", json="lights off")
    server.client.post("/predict", json=7)
    server.client.post("/predict", json=["a"] * 41)
    server.client.post("/predict/unheard-of", json="a")
    after = read(server)

    def grown(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert grown("bertedge_requests_total", "200", "texts") == 1
    assert grown("bertedge_requests_total", "200", "tags") == 1
    assert grown("bertedge_requests_total", "400", "texts") == 1
    assert grown("bertedge_requests_total", "404", "") == 1
    assert grown("bertedge_rejected_total", "input") == 1
    assert grown("bertedge_rejected_total", "size") == 1
    assert grown("bertedge_rows_total", "texts") == 3
    assert grown("bertedge_truncated_total", "texts") == 1
    for name in ("request", "queue", "tokenize", "infer"):
        assert grown(f"bertedge_{name}_seconds_count", "texts") == 1
        assert after[f"bertedge_{name}_seconds_bucket", "0.0001", "texts"] >= 0
    assert grown("bertedge_batch_rows_sum", "texts") == 3
    assert grown("bertedge_batch_tokens_sum", "texts") >= grown("bertedge_tokens_total", "texts")
    assert grown("bertedge_tokens_total", "texts") > 64
    assert after["bertedge_queue_tokens", "texts"] == 0
    assert after["bertedge_tokens_per_second", "texts"] > 0
    assert after["process_resident_memory_bytes",] > 1e6
    assert not [key for key in after if "unheard-of" in key]


def test_prometheus_itself_finds_nothing_wrong(server: Server) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool comes with Prometheus (apt-get install prometheus)")
    server.client.post("/predict", json="lights off")
    text = server.client.get("/metrics").text
    run = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_metrics_say_which_bundle_answers(server: Server) -> None:
    sha256 = json.loads((TEXTS / "bertedge.json").read_text())["manifest_sha256"]
    (found,) = [
        key for key in read(server) if key[0] == "bertedge_model_info" and key[1] == "texts"
    ]
    assert found[2:4] == (sha256, "cpu-fp32")


def test_a_request_keeps_its_id_or_gets_one(server: Server) -> None:
    def answered(**headers: str) -> str:
        return str(server.client.get("/models", headers=headers).headers["x-request-id"])

    assert answered(**{"X-Request-Id": "mine-7"}) == "mine-7"
    made = [
        answered(),
        answered(**{"X-Request-Id": "x" * 200}),
        answered(**{"X-Request-Id": "a b"}),
    ]
    assert len(set(made)) == 3
    assert all(len(each) == 32 for each in made)
    assert server.client.post("/predict", json=7).headers["x-request-id"]


def test_a_trace_is_passed_on(server: Server) -> None:
    found = server.client.get("/models", headers={"traceparent": TRACE})
    assert found.headers["traceparent"] == TRACE
    found = server.client.get("/models", headers={"traceparent": "nonsense"})
    assert "traceparent" not in found.headers


def test_the_access_log_has_a_line_of_json_a_request_and_no_text(start: Start) -> None:
    server = start(TEXTS, "--access-log")
    headers = {"X-Request-Id": "mine", "traceparent": TRACE}
    server.client.post("/predict", json=["a secret", "b"], headers=headers)
    server.client.post("/predict", json={"secret": 1})
    server.client.get("/no%0awhere%1b[2J")
    server.stop()
    assert server.process.stdout
    lines = server.process.stdout.read().splitlines()
    rows = [json.loads(line) for line in lines]
    assert Counter(row["status"] for row in rows) == {200: 1, 400: 1, 404: 1}
    answered = rows[0]
    assert answered["id"] == "mine"
    assert answered["traceparent"] == TRACE
    assert (answered["method"], answered["path"]) == ("POST", "/predict")
    assert (answered["model"], answered["rows"]) == ("text-classification", 2)
    parts = [answered[f"{name}_ms"] for name in ("queue", "tokenize", "infer", "decode")]
    assert sum(parts) <= answered["ms"] + 0.01
    assert not [line for line in lines if "secret" in line or "\x1b" in line]


@pytest.mark.parametrize("path", ["/metrics", "/models"])
def test_it_is_for_those_with_a_key(start: Start, tmp_path: Path, path: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text("correct-horse-battery")
    server = start(TEXTS, "--api-key-file", keys)
    assert server.client.get(path).status_code == 401
    assert (
        server.client.get(path, headers={"X-API-Key": "correct-horse-battery"}).status_code == 200
    )

"""`--compat tei`: the shapes of text-embeddings-inference."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bertedge.errors import DataError
from bertedge.predictions import Regression
from bertedge.predictor import Predictor
from bertedge.serve import tei
from bertedge.spec import DecisionRule, ModelSpec, ProblemType, Task

from .conftest import TAGS, TEXTS, Server
from .test_openai import embedder  # noqa: F401 (a fixture)

WORDS = ["turn the hall lights off", "", "日本語 🙂 \0"]


@pytest.fixture(scope="module")
def compat(embedder: Path) -> Iterator[Server]:  # noqa: F811
    bundles = (f"tags={TAGS}", f"texts={TEXTS}", f"vectors={embedder}")
    server = Server(*bundles, "--compat", "tei", "--max-rows", "8", "--max-bytes", "50000")
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line], server.lines


def test_predict_gives_every_label_best_first(compat: Server) -> None:
    native = compat.client.post("/predict/texts", json=WORDS).json()
    expected = [sorted(row["scores"].items(), key=lambda each: -each[1]) for row in native]
    batch = compat.client.post("/predict", json={"inputs": [[text] for text in WORDS]})
    assert batch.status_code == 200 and batch.headers["server-timing"]
    for found, wanted in zip(batch.json(), expected, strict=True):
        assert [row["label"] for row in found] == [label for label, _ in wanted]
        assert np.allclose([row["score"] for row in found], [s for _, s in wanted], atol=1e-5)
    for one in (WORDS[0], [WORDS[0]]):
        body = {"inputs": one, "truncate": True, "raw_scores": False, "other": 1}
        assert compat.client.post("/predict", json=body).json() == batch.json()[0]


def test_embeddings_are_the_predictors_and_normalized(
    compat: Server,
    embedder: Path,  # noqa: F811
) -> None:
    expected = Predictor.open(embedder).embed(WORDS)
    plain = compat.client.post("/embed", json={"inputs": WORDS, "normalize": False}).json()
    assert np.allclose(plain, expected, atol=1e-5)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    found = compat.client.post("/embed", json={"inputs": WORDS}).json()
    assert np.allclose(found, unit, atol=1e-5)
    one = compat.client.post("/embed", json={"inputs": WORDS[0], "dimensions": 4}).json()
    assert np.allclose(one, unit[:1], atol=1e-5)


def test_info_and_health_are_there(compat: Server) -> None:
    info = compat.client.get("/info").json()
    labels = info["model_type"]["classifier"]
    assert info["model_id"] == "texts" and info["max_client_batch_size"] == 8
    assert labels["label2id"] == {label: int(i) for i, label in labels["id2label"].items()}
    health = compat.client.get("/health")
    assert (health.status_code, health.content) == (200, b"")
    paths = compat.client.get("/openapi.json").json()["paths"]
    assert paths["/predict"]["post"]["operationId"] == "tei_predict"


LONG = "lights " * 600
WRONG: list[tuple[str, Any, int, str]] = [
    ("/predict", b"{", 422, "the body is no JSON"),
    ("/predict", b"[" * 9000 + b"]" * 9000, 422, "nested too deeply"),
    ("/predict", b'{"inputs": "\\ud800"}', 422, "lone surrogate"),
    ("/predict", "a", 422, "the body is no object"),
    ("/predict", {}, 422, "inputs must be a string, or a batch [[string], …]"),
    ("/predict", {"inputs": []}, 422, "inputs must be a string"),
    ("/predict", {"inputs": [[]]}, 422, "inputs must be a string"),
    ("/predict", {"inputs": ["a", "b"]}, 422, "inputs must be a string"),
    ("/predict", {"inputs": [["a"], "b"]}, 422, "inputs must be a string"),
    ("/predict", {"inputs": [[7]]}, 422, "inputs must be a string"),
    ("/predict", {"inputs": "a", "raw_scores": True}, 422, "raw_scores are not given"),
    ("/predict", {"inputs": "a", "raw_scores": 1}, 422, "raw_scores is 1; give true or false"),
    ("/predict", {"inputs": "a", "truncation_direction": "Left"}, 422, "cut at their end alone"),
    ("/predict", {"inputs": LONG, "truncate": False}, 413, "a text has more than the "),
    ("/predict", {"inputs": [["a"]] * 9}, 413, "9 rows in one request"),
    ("/predict", b" " * 50001, 413, "more than 50,000 bytes"),
    ("/embed", {"inputs": []}, 422, "inputs must be a string or a list of strings"),
    ("/embed", {"inputs": [1, 2]}, 422, "inputs must be a string or a list of strings"),
    ("/embed", {"inputs": "a", "dimensions": 3}, 422, "dimensions is 3; this model's"),
    ("/embed", {"inputs": "a", "dimensions": [4]}, 422, "dimensions is [4]; this model's"),
    ("/embed", {"inputs": "a", "prompt_name": "query"}, 422, "prompt_name is not read"),
    ("/embed", {"inputs": "a", "normalize": "no"}, 422, "normalize is 'no'; give true or"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), WRONG)
def test_what_is_wrong_has_teis_shape(
    compat: Server, path: str, body: Any, status: int, message: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = compat.client.post(path, content=content)
    assert found.status_code == status, found.text
    assert list(found.json()) == ["error", "error_type"]
    assert found.json()["error_type"] == "Validation"
    assert message in found.json()["error"] and len(found.json()["error"]) <= 300


def test_without_the_flag_there_is_none_of_it(server: Server) -> None:
    for path in ("/info", "/health"):
        assert server.client.get(path).status_code == 404
    assert server.client.post("/embed", json={"inputs": "a"}).status_code == 404
    refused = server.client.post("/predict", json={"inputs": 7})
    assert list(refused.json()) == ["error"] and refused.status_code == 400


def test_a_value_is_a_rerankers_score() -> None:
    spec = ModelSpec(
        task=Task.TEXT_CLASSIFICATION,
        labels=("value",),
        pair=True,
        max_length=32,
        pad_token_id=0,
        rule=DecisionRule(problem_type=ProblemType.REGRESSION),
    )
    manifest = SimpleNamespace(model=spec)
    model: Any = SimpleNamespace(predictor=SimpleNamespace(manifest=manifest))
    assert tei.read_inputs({"inputs": ["a", "b"]}, model) == ([("a", "b")], False)
    assert tei.read_inputs({"inputs": [["a", "b"]] * 2}, model) == ([("a", "b")] * 2, True)
    with pytest.raises(DataError, match="must be a pair"):
        tei.read_inputs({"inputs": "a"}, model)
    for value in (2.0, -800.0, 800.0):
        write = tei.write_scores({}, False, model)
        [row] = json.loads(write([Regression(value=value)]))
        assert row["label"] == "value"
        assert math.isclose(row["score"], 1 / (1 + math.exp(min(-value, 700))), abs_tol=1e-9)
        [raw] = json.loads(
            tei.write_scores({"raw_scores": True}, False, model)([Regression(value=value)])
        )
        assert raw["score"] == value

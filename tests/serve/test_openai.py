"""`/v1/embeddings`, as OpenAI's clients speak it."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertedge.bundle import open_bundle, write_bundle
from bertedge.predictor import Predictor
from bertedge.spec import DecisionRule, Pooling, PoolingMode, Task

from .conftest import TEXTS, Server

WORDS = ["turn the hall lights off", "", "日本語 🙂"]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier's graph under another name: its logits are vectors."""
    folder = tmp_path_factory.mktemp("embedder") / "bundle"
    bundle = open_bundle(TEXTS)
    manifest = bundle.manifest
    pooling = Pooling(mode=PoolingMode.CLS, normalized=False)
    task = Task.FEATURE_EXTRACTION
    spec = replace(manifest.model, task=task, labels=(), rule=DecisionRule(), pooling=pooling)
    spec = replace(spec, classifier_pooling=None)
    files = [bundle.path(manifest.tokenizer)]
    files += [bundle.path(file) for variant in manifest.variants for file in variant.files]
    write_bundle(folder, replace(manifest, model=spec), files, overwrite=False)
    return folder


@pytest.fixture(scope="module")
def vectors(embedder: Path) -> Iterator[Server]:
    server = Server(f"vectors={embedder}", f"texts={TEXTS}", "--max-rows", "8")
    yield server
    server.stop()


def test_embeddings_are_the_predictors(vectors: Server, embedder: Path) -> None:
    expected = Predictor.open(embedder).embed(WORDS)
    for coding in (None, "float", "base64"):
        body = {"input": WORDS, "model": "vectors"}
        found = vectors.client.post(
            "/v1/embeddings", json=body | ({"encoding_format": coding} if coding else {})
        ).json()
        assert (found["object"], found["model"]) == ("list", "vectors")
        assert [row["index"] for row in found["data"]] == [0, 1, 2]
        assert {row["object"] for row in found["data"]} == {"embedding"}
        coded = [row["embedding"] for row in found["data"]]
        if coding == "base64":
            coded = [np.frombuffer(base64.b64decode(each), "<f4") for each in coded]
        assert np.allclose(np.array(coded), expected, atol=1e-5)
        tokens = sum(len(row.ids) for row in Predictor.open(embedder).tokenizer.encode(WORDS))
        assert found["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_one_text_and_the_right_size_are_taken(vectors: Server) -> None:
    body = {"input": WORDS[0], "model": "vectors", "dimensions": 4, "user": "me"}
    found = vectors.client.post("/v1/embeddings", json=body)
    assert len(found.json()["data"]) == 1
    assert len(found.json()["data"][0]["embedding"]) == 4


def test_models_are_listed(vectors: Server) -> None:
    found = vectors.client.get("/v1/models").json()
    assert [each["id"] for each in found["data"]] == ["vectors", "texts"]
    assert all(each["created"] > 1.6e9 for each in found["data"])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ([], 400, "the body is no object"),
        ({}, 400, "input must be a string or a list of strings"),
        ({"input": []}, 400, "input must be a string or a list of strings"),
        ({"input": [[1, 2]]}, 400, "token ids are not read"),
        ({"input": [1, 2]}, 400, "token ids are not read"),
        ({"input": "a", "inputs": "b"}, 400, "unknown key 'inputs'; known are input, model"),
        ({"input": "a", "model": 7}, 400, "model must be a string"),
        ({"input": "a", "model": "other"}, 404, "no model 'other'; there are vectors, texts"),
        ({"input": "a", "model": "texts"}, 400, "text-classification; its answers are at /predict"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format is 'hex'; choose one of"),
        ({"input": "a", "encoding_format": [1]}, 400, "encoding_format is [1]; choose one of"),
        ({"input": "a", "dimensions": 3}, 400, "dimensions is 3; this model's embeddings have 4"),
        ({"input": "a", "dimensions": True}, 400, "dimensions must be an integer"),
        ({"input": ["a"] * 9}, 413, "9 rows in one request"),
    ],
)
def test_what_is_wrong_is_one_line(vectors: Server, body: Any, status: int, message: str) -> None:
    found = vectors.client.post("/v1/embeddings", json=body)
    assert found.status_code == status
    error = found.json()["error"]
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"

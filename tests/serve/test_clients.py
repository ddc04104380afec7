"""Clients that others wrote, and one generated from the OpenAPI document, get their answers."""

import base64
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertedge.predictor import Predictor

from .conftest import TAGS, TEXTS, Server
from .test_openai import embedder  # noqa: F401 (a fixture)

WORDS = ["turn the hall lights off", "", "日本語 🙂 \0 x"]
KEY = "correct-horse-battery"


@pytest.fixture(scope="module")
def keyed(embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: F811
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    bundles = (f"texts={TEXTS}", f"tags={TAGS}", f"vectors={embedder}")
    server = Server(*bundles, "--api-key-file", keys, "--max-rows", "8")
    server.client.headers["X-API-Key"] = KEY
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line], server.lines


def labels(texts: list[str]) -> list[Any]:
    return [each.label for each in Predictor.open(TEXTS).predict(texts)]


def test_the_openai_package_embeds(keyed: Server, embedder: Path) -> None:  # noqa: F811
    openai = pytest.importorskip("openai", reason="needs the dev extra")
    expected = Predictor.open(embedder).embed(WORDS)
    base_url = f"{keyed.url}/v1"
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        for coding in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            found = client.embeddings.create(model="vectors", input=WORDS, **coding)
            coded = [each.embedding for each in found.data]
            if coding.get("encoding_format") == "base64":  # where it is asked for it is left as is
                coded = [np.frombuffer(base64.b64decode(each), "<f4") for each in coded]
            assert np.allclose(coded, expected, atol=1e-5)
            assert found.usage.total_tokens > len(WORDS)
        one = client.embeddings.create(model="vectors", input=WORDS[0], dimensions=4)
        assert np.allclose(one.data[0].embedding, expected[0], atol=1e-5)
        assert [each.id for each in client.models.list()] == ["texts", "tags", "vectors"]
        with pytest.raises(openai.NotFoundError, match="no model 'other'"):
            client.embeddings.create(model="other", input="a")
        with pytest.raises(openai.BadRequestError, match="its answers are at /predict"):
            client.embeddings.create(model="texts", input="a")
    with (
        openai.OpenAI(base_url=base_url, api_key="a wrong one", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="an API key is needed"),
    ):
        client.embeddings.create(model="vectors", input="a")


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_tritonclient_infers(keyed: Server, binary: bool) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs the dev extra")
    headers = {"Authorization": f"Bearer {KEY}"}
    client = triton.InferenceServerClient(keyed.url.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("texts", headers=headers)
    about = client.get_model_metadata("texts", headers=headers)
    assert [each["name"] for each in about["inputs"]] == ["text"]
    text = triton.InferInput("text", [len(WORDS)], "BYTES")
    text.set_data_from_numpy(np.array(WORDS, object), binary_data=binary)
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "scores")
    ]
    for version in ("", about["versions"][0]):
        found = client.infer(
            "texts", [text], outputs=outputs, model_version=version, headers=headers, request_id="7"
        )
        said = found.as_numpy("label")
        assert [each.decode() if binary else each for each in said] == labels(WORDS)
        assert found.as_numpy("scores").shape == (len(WORDS), 4)
        assert np.allclose(found.as_numpy("scores").sum(axis=1), 1, atol=1e-4)
        assert found.get_response()["id"] == "7"
    every = client.infer("tags", [text], headers=headers).as_numpy("entities")
    assert [type(json.loads(row)) for row in every] == [list] * len(WORDS)
    with pytest.raises(triton.InferenceServerException, match="no version '1'"):
        client.infer("texts", [text], model_version="1", headers=headers)
    with pytest.raises(triton.InferenceServerException, match="an API key is needed"):
        client.infer("texts", [text])
    client.close()


@pytest.fixture(scope="module")
def generated(keyed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package that openapi-python-client makes of the document."""
    pytest.importorskip("openapi_python_client", reason="needs the dev extra")
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(keyed.client.get("/openapi.json").content)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", "openapi.json", "--output-path", "asked", "--fail-on-warning"]
    # Without hooks: by default it formats what it wrote with a ruff that it looks for in PATH.
    (folder / "config.yaml").write_text("post_hooks: []")
    command += ["--config", "config.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module("asked")
    sys.path.remove(str(folder))


def test_a_generated_client_asks_and_reads_what_comes(keyed: Server, generated: Any) -> None:
    def call(name: str, *arguments: Any, **options: Any) -> Any:
        function = importlib.import_module(f"asked.api.{name}").sync
        return function(*arguments, client=client, **options)

    models = importlib.import_module("asked.models")
    with generated.AuthenticatedClient(base_url=keyed.url, token=KEY) as client:
        one = call("native.predict_texts", body=WORDS[0])
        assert (one.text, one.label.value) == (WORDS[0], labels(WORDS)[0])
        several = call("native.predict_texts", body=list(WORDS), timeout=20.0)
        assert [each.label.value for each in several] == labels(WORDS)
        by_key = models.PredictTagsBodyType1.from_dict({"text": WORDS[0], "aggregation": "none"})
        assert isinstance(call("native.predict_tags", body=by_key).entities, list)
        text = models.EmbeddingsBody.from_dict({"input": WORDS[0], "model": "vectors"})
        assert len(call("openai.embeddings", body=text).data[0].embedding) == 4
        tensor = {"name": "text", "datatype": "BYTES", "shape": [3], "data": WORDS}
        asked = models.OipModelInferJsonBody.from_dict({"inputs": [tensor]})
        found = call("oip.oip_model_infer", "texts", body=asked)
        outputs = {each.name: each.data for each in found.outputs}
        assert outputs["label"] == labels(WORDS)
        assert [each.name for each in call("server.models")] == ["texts", "tags", "vectors"]
        assert call("server.health_ready").status == "ready"
        refused = call("native.predict_texts", body=[WORDS[0]] * 9)
        assert "9 rows in one request" in refused.error
    with generated.Client(base_url=keyed.url) as client:
        assert "an API key is needed" in call("server.models").error

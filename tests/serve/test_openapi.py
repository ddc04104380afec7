"""`/openapi.json` is valid, and true: its examples are answered as it says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from bertedge.serve import native, openapi
from bertedge.spec import InputShape, Task

from .conftest import TEXTS, Server, Start
from .test_openai import embedder  # noqa: F401 (a fixture)
from .test_tasks import INPUTS, model_of


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator(schema | {"components": document["components"]}).validate(value)


def bodies(operation: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    content = operation["requestBody"]["content"]["application/json"]
    return content["schema"], [each["value"] for each in content["examples"].values()]


def answer_schema(operation: dict[str, Any], status: int) -> dict[str, Any]:
    schema: dict[str, Any] = operation["responses"][str(status)]["content"]["application/json"]
    return schema["schema"]


def test_its_examples_are_answered_as_it_says(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    paths = {"/predict", "/predict/texts", "/predict/tags", "/predict/intents"}
    assert paths <= set(document["paths"])
    assert try_examples(server, document) == 8


def test_embeddings_are_in_it_as_they_are_answered(
    start: Start,
    embedder: Path,  # noqa: F811
) -> None:
    server = start(f"texts={TEXTS}", f"vectors={embedder}")
    document = server.client.get("/openapi.json").json()
    assert "/v1/embeddings" in document["paths"]
    assert try_examples(server, document) == 7


def try_examples(server: Server, document: dict[str, Any]) -> int:
    """Send all of them, and a wrong body to each path; return how many they were."""
    OpenAPIV31SpecValidator(document).validate()
    asked = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "get":
                found = server.client.get(path)
                check(document, answer_schema(operation, found.status_code), found.json())
                continue
            schema, examples = bodies(operation)
            for example in examples:
                check(document, schema, example)
                found = server.client.post(path, json=example)
                assert found.status_code == 200, found.text
                check(document, answer_schema(operation, 200), found.json())
                asked += 1
            refused = server.client.post(path, json=[7])
            assert not Draft202012Validator(
                schema | {"components": document["components"]}
            ).is_valid([7])
            check(document, answer_schema(operation, refused.status_code), refused.json())
    return asked


def test_keys_are_asked_for_where_they_are(start: Start, tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.write_text("correct-horse-battery\n")
    keyed = start(f"texts={TEXTS}", "--api-key-file", keys)
    assert keyed.client.get("/openapi.json").status_code == 401
    headers = {"X-API-Key": "correct-horse-battery"}
    document = keyed.client.get("/openapi.json", headers=headers).json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["security"] == [{"bearer": []}, {"header": []}]
    assert document["paths"]["/health/live"]["get"]["security"] == []
    assert "401" in document["paths"]["/predict/texts"]["post"]["responses"]


@pytest.mark.parametrize("task", Task)
def test_every_task_is_described_as_it_answers(task: Task) -> None:
    model, inputs = model_of(task), INPUTS[task][1]
    predictions = model.predict(inputs)
    golden = SimpleNamespace(
        logits=[[0.0] * len(predictions[0].to_dict().get("values", []))],
        texts=[("turn the [MASK] off",)],
    )
    manifest = SimpleNamespace(model=model.spec, golden=golden)
    predictor = SimpleNamespace(manifest=manifest, task=task)
    served: Any = SimpleNamespace(predictor=predictor)
    models = SimpleNamespace(by_name={"mine.x": served, "mine-x": served})
    config, keys = SimpleNamespace(compat=None), SimpleNamespace(wanted=False)
    service: Any = SimpleNamespace(models=models, keys=keys, config=config)
    document = openapi.make_document(service)
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/predict/mine.x"]["post"]
    schema, examples = bodies(operation)
    shape: InputShape = model.shape
    for example in examples:
        check(document, schema, example)
        native.read(json.dumps(example).encode(), shape)
    asked = native.read(json.dumps(inputs).encode(), shape)
    check(document, schema, inputs if shape.most == 1 else [list(each) for each in inputs])
    answer = json.loads(native.writer(asked, shape)(predictions))
    for value in (answer, answer[0]):
        check(document, answer_schema(operation, 200), value)
    validator = Draft202012Validator(
        answer_schema(operation, 200) | {"components": document["components"]}
    )
    assert not validator.is_valid({"text": "a"})
    assert not validator.is_valid(answer[0] | {"strange": 1})

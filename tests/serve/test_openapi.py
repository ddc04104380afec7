"""`/openapi.json` is valid, and true: its examples are answered as it says."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from bertedge.serve import native, openapi
from bertedge.serve.app import make_app
from bertedge.spec import InputShape, Task

from .conftest import TEXTS, Server, Start
from .test_openai import embedder  # noqa: F401 (a fixture)
from .test_tasks import INPUTS, model_of


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator(schema | {"components": document["components"]}).validate(value)


def bodies(operation: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    content = operation["requestBody"]["content"]["application/json"]
    return content["schema"], {name: each["value"] for name, each in content["examples"].items()}


def answer_schema(operation: dict[str, Any], status: int) -> dict[str, Any]:
    schema: dict[str, Any] = operation["responses"][str(status)]["content"]["application/json"]
    return schema["schema"]


def test_its_examples_are_answered_as_it_says(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    paths = {"/predict", "/predict/texts", "/predict/tags", "/predict/intents"}
    assert paths <= set(document["paths"])
    assert try_examples(server, document) == 8 + 2 * 3


def test_embeddings_are_in_it_as_they_are_answered(
    start: Start,
    embedder: Path,  # noqa: F811
) -> None:
    server = start(f"texts={TEXTS}", f"vectors={embedder}")
    document = server.client.get("/openapi.json").json()
    assert "/v1/embeddings" in document["paths"]
    assert try_examples(server, document) == 7 + 2 * 2


def test_the_shapes_of_tei_are_in_it_as_they_are_answered(
    start: Start,
    embedder: Path,  # noqa: F811
) -> None:
    server = start(f"texts={TEXTS}", f"vectors={embedder}", "--compat", "tei", "--no-page")
    document = server.client.get("/openapi.json").json()
    assert {"/predict", "/embed", "/info", "/health"} <= set(document["paths"])
    assert try_examples(server, document) == 7 + 2 * 2


def try_examples(server: Server, document: dict[str, Any]) -> int:
    """Send all of them, and a wrong body to each path; return how many they were."""
    OpenAPIV31SpecValidator(document).validate()
    asked = 0
    for template, item in document["paths"].items():
        for method, operation in item.items():
            other = server.client.delete(template)
            assert other.status_code == 405
            check(document, answer_schema(operation, 405), other.json())
            if method == "get":
                for path in addresses(server, template):
                    check_answer(document, operation, server.client.get(path))
                continue
            if "requestBody" not in operation:
                check_answer(document, operation, server.client.post(template))
                continue
            schema, examples = bodies(operation)
            for name, example in examples.items():
                check(document, schema, example)
                (path,) = addresses(server, template, name)
                found = server.client.post(path, json=example)
                assert found.status_code == 200, found.text
                check_answer(document, operation, found)
                asked += 1
            refused = server.client.post(addresses(server, template)[0], json=[7])
            assert not Draft202012Validator(
                schema | {"components": document["components"]}
            ).is_valid([7])
            check_answer(document, operation, refused)
    return asked


def addresses(server: Server, template: str, name: str | None = None) -> list[str]:
    """Return the paths of a template: that of each model, or of the one of a name."""
    if "{" not in template:
        return [template]
    versions = {each["name"]: each["sha256"][:12] for each in server.client.get("/models").json()}
    names = [name] if name else list(versions)
    return [template.format(name=each, version=versions[each]) for each in names]


def check_answer(document: dict[str, Any], operation: Any, found: httpx.Response) -> None:
    said = operation["responses"][str(found.status_code)].get("content", {})
    media_type = found.headers.get("content-type", "").partition(";")[0]
    assert media_type in said or (not said and not found.content), found.request.url
    if media_type == "application/json":
        check(document, said[media_type]["schema"], found.json())


@pytest.mark.parametrize(("compat", "page"), [(None, True), ("tei", False)])
def test_no_route_is_left_out_and_every_status_is_there(compat: str | None, page: bool) -> None:
    service = described([Task.TEXT_CLASSIFICATION, Task.FEATURE_EXTRACTION], compat, page)
    paths = openapi.make_document(service)["paths"]
    app: Any = make_app(service)
    for route in app._app.routes:
        path = route.path.rstrip("/") or "/"
        methods = {each.lower() for each in route.methods} - {"head"}
        for name in service.models.by_name:
            found = paths.get(path) or paths[path.format(name=name)]
            assert set(found) == methods, path
    for path in ("/predict", "/v1/embeddings", "/v2/models/{name}/infer"):
        statuses = paths[path]["post"]["responses"]
        assert {"405", "408", "413", "415", "429", "503", "504"} <= set(statuses)


def test_models_of_masks_are_described_with_their_mask() -> None:
    schema = answer_schema(
        openapi.make_document(described([Task.FILL_MASK]))["paths"]["/models"]["get"], 200
    )
    assert "mask_token" in schema["items"]["properties"]
    assert "mask_token" not in schema["items"]["required"]


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


def described(tasks: Sequence[Task], compat: str | None = None, page: bool = True) -> Any:
    """A service of models that are not open, with what is said of them."""
    models: dict[str, Any] = {}
    for number, task in enumerate(tasks):
        model = model_of(task)
        (found, *_) = model.predict(INPUTS[task][1])
        golden = SimpleNamespace(logits=[[0.0] * len(found.to_dict().get("values", []))])
        manifest = SimpleNamespace(model=model.spec, golden=golden)
        predictor = SimpleNamespace(manifest=manifest, task=task, tokenizer=model.tokenizer)
        models[f"mine.{number}"] = SimpleNamespace(predictor=predictor)
    return SimpleNamespace(
        models=SimpleNamespace(by_name=models),
        config=SimpleNamespace(compat=compat, page=page),
        keys=SimpleNamespace(wanted=False),
        metrics=None,
    )


@pytest.mark.parametrize("task", Task)
def test_every_task_is_described_as_it_answers(task: Task) -> None:
    model, inputs = model_of(task), INPUTS[task][1]
    predictions = model.predict(inputs)
    document = openapi.make_document(described([task, task]))
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/predict/mine.0"]["post"]
    schema, examples = bodies(operation)
    shape: InputShape = model.shape
    for example in examples.values():
        check(document, schema, example)
        assert model.predict(native.read(json.dumps(example).encode(), shape).inputs)
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

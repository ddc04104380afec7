"""The OpenAPI 3.1 document of a server, made from the bundles that it serves."""

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bertedge.predictions import (
    Answer,
    Answers,
    Classification,
    Embedding,
    Entities,
    Entity,
    Fill,
    FilledMasks,
    IntentSlots,
    MultiLabelClassification,
    MultipleChoice,
    Regression,
)
from bertedge.serve.admission import Service, opened_models, service_of
from bertedge.serve.kinds import embedding_size, kind_of, scored_labels
from bertedge.serve.models import ServedModel
from bertedge.serve.native import MOST_ANSWERS
from bertedge.spec import Aggregation, InputShape
from bertedge.version import __version__

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_ERRORS = {
    "400": "No JSON, no input of the model, or an option of another task.",
    "413": "Too many bytes or rows.",
    "429": "Too many tokens are queued; Retry-After says when to try again.",
    "503": "The server is starting or shutting down.",
    "504": "The deadline passed.",
}
_EXAMPLE = "play some jazz"


def routes() -> list[Route]:
    """Return where the document is."""
    return [Route("/openapi.json", _document)]


async def _document(request: Request) -> Response:
    opened_models(request)
    return JSONResponse(make_document(service_of(request)))


def make_document(service: Service) -> Schema:
    """Return the document; each model has a path of its own, with what it reads and answers."""
    models = service.models.by_name
    first = next(iter(models))
    paths: Schema = {}
    if service.config.compat is None:  # else it is another protocol's
        paths["/predict"] = {"post": _predict(first, models[first], "predict")}
    schemas: Schema = {"Error": _object({"error": _TEXT})}
    for name, model in models.items():
        operation = _predict(name, model, f"predict_{name}")
        paths[f"/predict/{name}"] = {"post": operation}
        schemas[f"{name}.Input"] = input_schema(model)
        schemas[f"{name}.Prediction"] = prediction_schema(model)
    if any(kind_of(model) is Embedding for model in models.values()):
        paths["/v1/embeddings"] = {"post": _embeddings(models)}
    listed = _array({"type": "object", "required": ["name", "task", "labels", "sha256"]})
    for path, summary, schema in (
        ("/models", "The models that are served.", listed),
        ("/health/live", "200 while the process runs.", _object({"status": _TEXT})),
        ("/health/ready", "200 while requests are let in.", _object({"status": _TEXT})),
    ):
        paths[path] = {"get": _get(path.strip("/").replace("/", "_"), summary, schema)}
    paths["/health/ready"]["get"]["responses"]["503"] = _refusal(_ERRORS["503"])
    document: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "bertedge", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if service.keys.wanted:
        bearer = {"type": "http", "scheme": "bearer"}
        header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        document["components"]["securitySchemes"] = {"bearer": bearer, "header": header}
        document["security"] = [{"bearer": []}, {"header": []}]
        for path, item in paths.items():
            for operation in item.values():
                if path.startswith("/health/"):
                    operation["security"] = []
                else:
                    operation["responses"]["401"] = _refusal("No API key, or a wrong one.")
    return document


def input_schema(model: ServedModel) -> Schema:
    """Return what one input of a model is in JSON."""
    shape = model.predictor.manifest.model.input_shape
    by_key = _object({key: _part(key, shape) for key in shape.keys})
    if shape.most == 1:
        return {"anyOf": [_TEXT, by_key]}
    return {"anyOf": [_array(_TEXT, least=shape.least, most=shape.most), by_key]}


def prediction_schema(model: ServedModel) -> Schema:
    """Return what a model answers to one input."""
    spec, kind = model.predictor.manifest.model, kind_of(model)
    labels = scored_labels(model)
    outside = (spec.rule.out_of_scope,) if spec.rule.out_of_scope is not None else ()
    best = {"type": "string", "enum": list(dict.fromkeys((*labels, *outside)))}
    scores = _object(dict.fromkeys(labels, _NUMBER))
    windows, truncated = {"windows": _COUNT}, {"truncated": _FLAG}
    entities = _array(_fields(Entity))
    answer = _fields(Answer)
    own: dict[type[Any], Schema] = {
        Classification: {"label": best, "score": _NUMBER, "scores": scores} | truncated,
        MultiLabelClassification: {"labels": _array(best), "scores": scores} | truncated,
        Regression: {"value": _NUMBER} | truncated,
        Entities: {"entities": entities} | windows,
        IntentSlots: {"intent": best, "score": _NUMBER, "scores": scores, "slots": entities}
        | windows,
        FilledMasks: {"masks": _array(_array(_fields(Fill, without="token_id")))} | truncated,
        Embedding: {"values": _vector(model)} | truncated,
        Answers: {"answer": {"anyOf": [answer, {"type": "null"}]}, "answers": _array(answer)}
        | {"no_answer": _NUMBER}
        | windows
        | truncated,
        MultipleChoice: {"choice": _COUNT, "chosen": _TEXT, "score": _NUMBER}
        | {"scores": _array(_NUMBER)}
        | truncated,
    }
    return _object(_echo(spec.input_shape) | own[kind])


def example_of(model: ServedModel) -> Any:
    """Return an input of a model."""
    shape = model.predictor.manifest.model.input_shape
    if shape.most == 1:
        golden = model.predictor.manifest.golden.texts  # which have a mask, where one is needed
        return golden[0][0] if golden else _EXAMPLE
    return {
        key: [_EXAMPLE, "turn the lights off"] if _part(key, shape) is not _TEXT else _EXAMPLE
        for key in shape.keys
    }


def _echo(shape: InputShape) -> Schema:
    """Return the keys that stand before a prediction."""
    if shape.most == 1:
        return {"text": _TEXT}
    return {"text": _TEXT, "pair": _array(_TEXT) if shape.most is None else _TEXT}


def _part(key: str, shape: InputShape) -> Schema:
    return _array(_TEXT, least=1) if shape.most is None and key == shape.keys[-1] else _TEXT


def _vector(model: ServedModel) -> Schema:
    size = embedding_size(model)
    return _array(_NUMBER, least=size, most=size)


def _predict(name: str, model: ServedModel, operation: str) -> Schema:
    one = {"$ref": f"#/components/schemas/{name}.Input"}
    found = {"$ref": f"#/components/schemas/{name}.Prediction"}
    options: Schema = {}
    if model.predictor.task.tags_words:
        options["aggregation"] = {"type": "string", "enum": [each.value for each in Aggregation]}
    if kind_of(model) in (FilledMasks, Answers):
        options["top_k"] = {"type": "integer", "minimum": 1, "maximum": MOST_ANSWERS}
    listed = _array(one)
    bare, by_key = input_schema(model)["anyOf"]
    by_key["properties"] |= options
    # A list that stands alone, or in `inputs`, is always a list of inputs.
    plain = [by_key, listed] if "items" in bare else [bare, by_key, listed]
    inputs = {"anyOf": [each for each in plain if each is not by_key] + [one]}
    wrapped = _object({"inputs": inputs}, optional=options)
    example = example_of(model)
    return {
        "operationId": operation,
        "summary": f"Ask the model {name}: {model.predictor.task}.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [*plain, wrapped]},
                    "examples": {
                        "one": {"value": example},
                        "several": {"value": {"inputs": [example, example]}},
                    },
                }
            },
        },
        "parameters": [
            {
                "name": "timeout",
                "in": "query",
                "description": "Seconds that the client waits.",
                "schema": {"type": "number", "exclusiveMinimum": 0},
            }
        ],
        "responses": _answers("One prediction, or a list.", {"anyOf": [found, _array(found)]}),
    }


def _embeddings(models: dict[str, ServedModel]) -> Schema:
    names = [name for name, model in models.items() if kind_of(model) is Embedding]
    formats = {"type": "string", "enum": ["float", "base64"]}
    sent = _object(
        {"input": {"anyOf": [_TEXT, _array(_TEXT, least=1)]}},
        optional={"model": {"type": "string", "enum": names}, "encoding_format": formats},
    )
    if next(iter(models)) not in names:  # which a request means that names none
        sent["required"] = ["input", "model"]
    row = {"index": _COUNT, "embedding": {"anyOf": [_array(_NUMBER), _TEXT]}, "object": _TEXT}
    usage = _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT})
    answer = {"object": _TEXT, "model": _TEXT, "data": _array(_object(row)), "usage": usage}
    example = {"model": names[0], "input": [_EXAMPLE]}
    operation: Schema = {
        "operationId": "embeddings",
        "summary": "Embed texts, as OpenAI's clients ask for it.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": sent, "examples": {"one": {"value": example}}}
            },
        },
        "responses": _answers("The embeddings.", _object(answer)),
    }
    nothing = {"type": ["string", "null"]}
    said = {"message": _TEXT, "type": _TEXT, "param": nothing, "code": nothing}
    error = _object({"error": _object(said)})
    for status in operation["responses"].keys() - {"200"}:
        operation["responses"][status] |= {"content": _json(error)}
    return operation


def _get(operation: str, summary: str, schema: Schema) -> Schema:
    good = {"description": summary, "content": _json(schema)}
    return {"operationId": operation, "summary": summary, "responses": {"200": good}}


def _answers(description: str, schema: Schema) -> Schema:
    good = {"200": {"description": description, "content": _json(schema)}}
    return good | {status: _refusal(what) for status, what in _ERRORS.items()}


def _refusal(description: str) -> Schema:
    return {"description": description, "content": _json({"$ref": "#/components/schemas/Error"})}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _array(items: Schema, *, least: int = 0, most: int | None = None) -> Schema:
    limits = ({"minItems": least} if least else {}) | ({"maxItems": most} if most else {})
    return {"type": "array", "items": items} | limits


def _fields(kind: type[Any], without: str = "") -> Schema:
    """Return the schema of a part of a prediction, whose fields are numbers and strings."""
    plain = {str: _TEXT, int: _COUNT, float: _NUMBER}
    own = {field.name: plain[field.type] for field in dataclasses.fields(kind)}  # type: ignore[index]
    return _object({name: schema for name, schema in own.items() if name != without})

"""What the OpenAPI document says of the protocols that are others': OpenAI's, OIP, TEI's."""

from typing import Any

from bertedge.predictions import Embedding
from bertedge.serve.kinds import kind_of
from bertedge.serve.models import ServedModel
from bertedge.serve.oip import HEADER_LENGTH
from bertedge.serve.openai import FORMATS
from bertedge.serve.schemas import (
    ANY,
    ASKING,
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    Operation,
    Schema,
    any_of,
    array,
    example_of,
    in_json,
    record,
)
from bertedge.serve.tei import CLASSIFIERS
from bertedge.serve.tensors import TEXT as BYTES

Models = dict[str, ServedModel]
_BINARY: Schema = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_TEI_ASKING = (400, 408, 413, 415, 422, 424, 429, 503, 504)


def openai_operations(models: Models) -> list[Operation]:
    """Return the list of models, and the embeddings where a model gives them."""
    listed = record({"id": TEXT, "object": TEXT, "created": COUNT, "owned_by": TEXT})
    found = [
        Operation(
            path="/v1/models",
            id="openai_models",
            tag="openai",
            summary="The models that are served, as OpenAI's clients list them.",
            answer=in_json(record({"object": TEXT, "data": array(listed)})),
            errors=(503,),
        )
    ]
    names = [name for name, model in models.items() if kind_of(model) is Embedding]
    if not names:
        return found
    sent = record(
        {"input": any_of(TEXT, array(TEXT, least=1))},
        optional={
            "model": {"type": "string", "enum": names},
            "encoding_format": {"type": "string", "enum": list(FORMATS)},
            "dimensions": COUNT,
            "user": TEXT,
        },
    )
    if next(iter(models)) not in names:  # which a request means that names none
        sent["required"] = ["input", "model"]
    row = {"index": COUNT, "embedding": any_of(array(NUMBER), TEXT), "object": TEXT}
    usage = record({"prompt_tokens": COUNT, "total_tokens": COUNT})
    answer = {"object": TEXT, "model": TEXT, "data": array(record(row)), "usage": usage}
    example = {"model": names[0], "input": [example_of(models[names[0]])]}
    embed = Operation(
        path="/v1/embeddings",
        id="embeddings",
        tag="openai",
        summary="Embed texts, as OpenAI's clients ask for it.",
        method="post",
        body=in_json(sent, {"one": example}),
        answer=in_json(record(answer)),
        errors=ASKING,
    )
    return [embed, *found]


def oip_operations(models: Models) -> list[Operation]:
    """Return the endpoints of the Open Inference Protocol, those of models with their names."""
    server = record({"name": TEXT, "version": TEXT, "extensions": array(TEXT)})
    found = [
        _oip("/v2", "oip_server", "The server and its extensions.", server),
        _oip("/v2/health/live", "oip_live", "200 while it runs.", record({"live": FLAG})),
        _oip("/v2/health/ready", "oip_ready", "200 while ready.", record({"ready": FLAG}), 503),
    ]
    name = _in_path("name", {"type": "string", "enum": list(models)})
    version = _in_path("version", TEXT)
    tensor = record({"name": TEXT, "datatype": TEXT, "shape": array({"type": "integer"})})
    about = record(
        {"name": TEXT, "versions": array(TEXT), "platform": TEXT}
        | {"inputs": array(tensor), "outputs": array(tensor)}
    )
    ready = record({"name": TEXT, "ready": FLAG})
    for path, kind, parameters in (
        ("/v2/models/{name}", "model", (name,)),
        ("/v2/models/{name}/versions/{version}", "version", (name, version)),
    ):
        for end, summary, schema in (
            ("", "The inputs and outputs of a model.", about),
            ("/ready", "200 while a model is ready.", ready),
        ):
            operation = f"oip_{kind}{end.replace('/', '_')}"
            found.append(
                _oip(f"{path}{end}", operation, summary, schema, 404, 503, parameters=parameters)
            )
        found.append(_infer(f"{path}/infer", f"oip_{kind}_infer", models, parameters))
    return found


def _oip(
    path: str,
    operation: str,
    summary: str,
    schema: Schema,
    *errors: int,
    parameters: tuple[Schema, ...] = (),
) -> Operation:
    return Operation(
        path=path,
        id=operation,
        tag="oip",
        summary=summary,
        answer=in_json(schema),
        errors=errors,
        parameters=parameters,
    )


def _infer(path: str, operation: str, models: Models, parameters: tuple[Schema, ...]) -> Operation:
    shape, settings = array({"type": "integer", "minimum": 0}), {"parameters": {"type": "object"}}
    head = {"name": TEXT, "datatype": TEXT, "shape": shape}
    texts = array(any_of(TEXT, array(TEXT)))
    sent = record(
        {"inputs": array(record(head, settings | {"data": texts}, more=True), least=1)},
        {"id": TEXT, "outputs": array(record({"name": TEXT}, settings, more=True))} | settings,
        more=True,
    )
    answer = record(
        {"model_name": TEXT, "model_version": TEXT}
        | {"outputs": array(record(head, settings | {"data": array(ANY)}))},
        {"id": TEXT},
    )
    examples = {name: {"inputs": _tensors(model)} for name, model in models.items()}
    length = {
        "name": HEADER_LENGTH.title(),
        "in": "header",
        "description": "Where the JSON ends, if tensors stand behind it as bytes.",
        "schema": COUNT,
    }
    return Operation(
        path=path,
        id=operation,
        tag="oip",
        summary="Ask a model.",
        method="post",
        body=in_json(sent, examples) | _BINARY,
        answer=in_json(answer) | _BINARY,
        errors=ASKING,
        parameters=(*parameters, length),
    )


def _tensors(model: ServedModel) -> list[dict[str, Any]]:
    """Return an example of a model's inputs."""
    keys, example = model.predictor.manifest.model.input_shape.keys, example_of(model)
    values = example if isinstance(example, dict) else {keys[0]: example}
    return [
        {"name": key, "datatype": BYTES}
        | (
            {"shape": [1, len(value)], "data": value}
            if isinstance(value, list)
            else {"shape": [1], "data": [value]}
        )
        for key, value in values.items()
    ]


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def tei_operations(models: Models) -> list[Operation]:
    """Return the endpoints of text-embeddings-inference that a model is there for."""
    flags = {"truncate": FLAG, "truncation_direction": {"type": "string", "enum": ["Right"]}}
    found = [
        Operation(
            path="/health",
            id="tei_health",
            tag="tei",
            summary="200 while ready.",
            answer={},
            errors=(503,),
        )
    ]
    classifier = _first(models, CLASSIFIERS)
    if classifier is not None:
        example = example_of(classifier)
        one = list(example.values()) if isinstance(example, dict) else example
        scores = array(record({"score": NUMBER, "label": TEXT}))
        batch = array(array(TEXT, least=1, most=2), least=1)
        inputs = any_of(TEXT, array(TEXT, least=1, most=2), batch)
        found.append(
            Operation(
                path="/predict",
                id="tei_predict",
                tag="tei",
                summary="Every label with its score, best first.",
                method="post",
                body=in_json(
                    record({"inputs": inputs}, flags | {"raw_scores": FLAG}, more=True),
                    {"one": {"inputs": one}},
                ),
                answer=in_json(any_of(scores, array(scores))),
                errors=_TEI_ASKING,
            )
        )
    embedder = _first(models, (Embedding,))
    if embedder is not None:
        options = flags | {"normalize": FLAG, "dimensions": COUNT}
        inputs = any_of(TEXT, array(TEXT, least=1))
        found.append(
            Operation(
                path="/embed",
                id="tei_embed",
                tag="tei",
                summary="A vector for each text.",
                method="post",
                body=in_json(
                    record({"inputs": inputs}, options, more=True),
                    {"one": {"inputs": example_of(embedder)}},
                ),
                answer=in_json(array(array(NUMBER))),
                errors=_TEI_ASKING,
            )
        )
    if classifier is not None or embedder is not None:
        about = {"model_id": TEXT, "model_sha": TEXT, "model_type": {"type": "object"}}
        found.append(
            Operation(
                path="/info",
                id="tei_info",
                tag="tei",
                summary="The first model, and the limits.",
                answer=in_json(record(about | {"max_input_length": COUNT}, more=True)),
                errors=(424, 503),
            )
        )
    return found


def _first(models: Models, kinds: tuple[type[Any], ...]) -> ServedModel | None:
    return next((model for model in models.values() if kind_of(model) in kinds), None)

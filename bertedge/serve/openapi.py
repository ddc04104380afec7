"""The OpenAPI 3.1 document of a server, made from the bundles that it serves."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bertedge.predictions import Answers, FilledMasks
from bertedge.serve import openai, tei
from bertedge.serve.admission import Service, opened_models, service_of
from bertedge.serve.keys import is_open
from bertedge.serve.kinds import kind_of
from bertedge.serve.models import ServedModel
from bertedge.serve.native import MOST_ANSWERS
from bertedge.serve.openapi_protocols import oip_operations, openai_operations, tei_operations
from bertedge.serve.schemas import (
    ASKING,
    COUNT,
    NUMBER,
    TEXT,
    Operation,
    Schema,
    any_of,
    array,
    example_of,
    in_json,
    input_schema,
    prediction_schema,
    record,
)
from bertedge.spec import Aggregation
from bertedge.version import __version__

_ERRORS = {
    400: "No JSON, no input of the model, or an option of another task.",
    401: "No API key, or a wrong one.",
    403: "The server asks for no keys, so that nobody may do this.",
    404: "No such path, model or version.",
    405: "Another method.",
    408: "The request did not arrive in time.",
    413: "Too many bytes or rows.",
    415: "A compressed body.",
    422: "No JSON, or no input of the model.",
    424: "No model here does this.",
    429: "Too many tokens are queued; Retry-After says when to try again.",
    503: "The server is starting or shutting down.",
    504: "The deadline passed.",
}
_LINES: Schema = {
    "Error": record({"error": TEXT}),
    "OpenAIError": record(
        {
            "error": record(
                {"message": TEXT, "type": TEXT}
                | {key: {"type": ["string", "null"]} for key in ("param", "code")}
            )
        }
    ),
    "TEIError": record({"error": TEXT, "error_type": TEXT}),
}
"""What an error is, in the shape of each protocol."""


def routes() -> list[Route]:
    """Return where the document is."""
    return [Route("/openapi.json", _document)]


async def _document(request: Request) -> Response:
    opened_models(request)
    return JSONResponse(make_document(service_of(request)))


def make_document(service: Service) -> Schema:
    """Return the document; each model has a path of its own, with what it reads and answers."""
    models, compat = service.models.by_name, service.config.compat
    operations = [
        *(_native(models) if compat is None else _native(models)[1:]),  # /predict is another's
        *openai_operations(models),
        *oip_operations(models),
        *(tei_operations(models) if compat == tei.NAME else ()),
        *_about_the_server(page=service.config.page),
    ]
    schemas: Schema = dict(_LINES)
    for name, model in models.items():
        schemas[f"{name}.Input"] = input_schema(model)
        schemas[f"{name}.Prediction"] = prediction_schema(model)
    components: Schema = {"schemas": schemas}
    document: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "bertedge", "version": __version__},
        "paths": _paths(operations, service),
        "components": components,
    }
    if service.keys.wanted:
        bearer = {"type": "http", "scheme": "bearer"}
        header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        components["securitySchemes"] = {"bearer": bearer, "header": header}
        document["security"] = [{"bearer": []}, {"header": []}]
    return document


def _paths(operations: Sequence[Operation], service: Service) -> Schema:
    paths: Schema = {}
    for each in operations:
        keyed = service.keys.wanted and not is_open(each.path)
        errors = {*each.errors, 405, *((401,) if keyed else ())}
        line = f"#/components/schemas/{_error_name(each.path, service.config.compat)}"
        good = {"description": each.summary} | ({"content": each.answer} if each.answer else {})
        responses: dict[int, Schema] = {200: good} | each.others
        for status in errors:
            refused = {"description": _ERRORS[status], "content": in_json({"$ref": line})}
            responses[status] = refused
        operation: Schema = {"operationId": each.id, "tags": [each.tag], "summary": each.summary}
        if each.parameters:
            operation["parameters"] = list(each.parameters)
        if each.body:
            operation["requestBody"] = {"required": True, "content": each.body}
        operation["responses"] = {str(status): responses[status] for status in sorted(responses)}
        if service.keys.wanted and not keyed:
            operation["security"] = []
        paths.setdefault(each.path, {})[each.method] = operation
    return paths


def _error_name(path: str, compat: str | None) -> str:
    """Return the shape of a path's errors, as `app.error_response` has it."""
    if compat == tei.NAME and path in tei.PATHS:
        return "TEIError"
    return "OpenAIError" if path.startswith(openai.PATHS) else "Error"


def _native(models: dict[str, ServedModel]) -> list[Operation]:
    """Return `/predict`, which is the first model's, and that of each."""
    first, model = next(iter(models.items()))
    return [
        _predict("/predict", "predict", first, model),
        *(_predict(f"/predict/{n}", f"predict_{n}", n, each) for n, each in models.items()),
    ]


def _predict(path: str, operation: str, name: str, model: ServedModel) -> Operation:
    one = {"$ref": f"#/components/schemas/{name}.Input"}
    found = {"$ref": f"#/components/schemas/{name}.Prediction"}
    options: Schema = {}
    if model.predictor.task.tags_words:
        options["aggregation"] = {"type": "string", "enum": [each.value for each in Aggregation]}
    if kind_of(model) in (FilledMasks, Answers):
        options["top_k"] = {"type": "integer", "minimum": 1, "maximum": MOST_ANSWERS}
    listed = array(one)
    bare, by_key = input_schema(model)["anyOf"]
    by_key["properties"] |= options
    # A list that stands alone, or in `inputs`, is always a list of inputs.
    plain = [by_key, listed] if "items" in bare else [bare, by_key, listed]
    inputs = any_of(*(each for each in plain if each is not by_key), one)
    wrapped = record({"inputs": inputs}, optional=options)
    example = example_of(model)
    timeout = {
        "name": "timeout",
        "in": "query",
        "description": "Seconds that the client waits.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    }
    return Operation(
        path=path,
        id=operation,
        tag="native",
        summary=f"Ask the model {name}: {model.predictor.task}.",
        method="post",
        body=in_json(
            any_of(*plain, wrapped), {"one": example, "several": {"inputs": [example, example]}}
        ),
        parameters=(timeout,),
        answer=in_json(any_of(found, array(found))),
        errors=ASKING,
    )


def _about_the_server(*, page: bool) -> list[Operation]:
    described = record(
        {"name": TEXT, "task": TEXT, "problem_type": TEXT, "labels": array(TEXT)}
        | {"reads": array(TEXT), "max_length": COUNT, "variant": TEXT, "sha256": TEXT},
        optional={"mask_token": TEXT},
    )
    nothing = {"type": "null"}
    reloaded = {
        "bundles": array(
            record({"names": array(TEXT), "error": any_of(TEXT, nothing), "sha256": TEXT})
        ),
        "keys_error": any_of(TEXT, nothing),
    }
    kept = {
        "description": "A bundle was kept.",
        "content": in_json(record({"error": TEXT} | reloaded)),
    }
    state, text = in_json(record({"status": TEXT})), {"text/plain": {"schema": TEXT}}
    plain: list[tuple[str, str, Schema, tuple[int, ...]]] = [
        ("/models", "The models that are served.", in_json(array(described)), (503,)),
        ("/health/live", "200 while the process runs.", state, ()),
        ("/health/ready", "200 while requests are let in.", state, (503,)),
        ("/metrics", "What Prometheus reads.", text, ()),
        ("/openapi.json", "This document.", in_json({"type": "object"}), (503,)),
    ]
    if page:
        rate = record(
            {"name": TEXT, "sha256": TEXT, "queued_tokens": COUNT, "tokens_per_second": NUMBER}
            | dict.fromkeys(("requests_per_second", "rows_per_second", "errors_per_second"), NUMBER)
            | dict.fromkeys(("p50_ms", "p99_ms"), any_of(NUMBER, nothing))
        )
        seen = {"unready": any_of(TEXT, nothing), "window_s": NUMBER, "models": array(rate)}
        plain.append(("/", "The page.", {"text/html": {"schema": TEXT}}, ()))
        plain.append(("/status", "What the page shows.", in_json(record(seen)), ()))
    reload = Operation(
        path="/admin/reload",
        id="admin_reload",
        tag="server",
        summary="Open all bundles anew.",
        method="post",
        answer=in_json(record(reloaded)),
        others={409: kept},
        errors=(400, 403, 503),
    )
    return [
        reload,
        *(
            Operation(
                path=path,
                id=path.strip("/").replace("/", "_").partition(".")[0] or "page",
                tag="server",
                summary=summary,
                answer=answer,
                errors=errors,
            )
            for path, summary, answer, errors in plain
        ),
    ]

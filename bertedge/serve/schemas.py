"""JSON schemas: what a model reads and answers, and the pieces that the OpenAPI document is of."""

import dataclasses
from typing import Any

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
from bertedge.serve.kinds import embedding_size, kind_of, scored_labels
from bertedge.serve.models import ServedModel
from bertedge.spec import InputShape

Schema = dict[str, Any]
ANY: Schema = {}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ASKING = (400, 404, 408, 413, 415, 429, 503, 504)
"""Statuses of requests that ask a model."""
_EXAMPLE = "play some jazz"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    path: str
    id: str
    tag: str
    """The protocol that it is of."""
    summary: str
    answer: Schema
    """By media type."""
    method: str = "get"
    body: Schema | None = None
    """By media type."""
    errors: tuple[int, ...] = ()
    others: dict[int, Schema] = dataclasses.field(default_factory=dict)
    """Answers that are no errors of one line, by status."""
    parameters: tuple[Schema, ...] = ()


def array(items: Schema, *, least: int = 0, most: int | None = None) -> Schema:
    """Return the schema of a list."""
    limits = ({"minItems": least} if least else {}) | ({"maxItems": most} if most else {})
    return {"type": "array", "items": items} | limits


def record(required: Schema, optional: Schema | None = None, *, more: bool = False) -> Schema:
    """Return the schema of an object, in which other keys may stand where `more` is true."""
    found: Schema = {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
    }
    return found if more else found | {"additionalProperties": False}


def any_of(*schemas: Schema) -> Schema:
    """Return the schema of what one of them describes."""
    return {"anyOf": list(schemas)}


def in_json(schema: Schema, examples: Schema | None = None) -> Schema:
    """Return the content of a body in JSON, with examples by name."""
    named = {name: {"value": value} for name, value in (examples or {}).items()}
    return {"application/json": {"schema": schema} | ({"examples": named} if named else {})}


def input_schema(model: ServedModel) -> Schema:
    """Return what one input of a model is in JSON."""
    shape = model.predictor.manifest.model.input_shape
    by_key = record({key: _part(key, shape) for key in shape.keys})
    if shape.most == 1:
        return any_of(TEXT, by_key)
    return any_of(array(TEXT, least=shape.least, most=shape.most), by_key)


def prediction_schema(model: ServedModel) -> Schema:
    """Return what a model answers to one input."""
    spec, kind = model.predictor.manifest.model, kind_of(model)
    labels = scored_labels(model)
    outside = (spec.rule.out_of_scope,) if spec.rule.out_of_scope is not None else ()
    best = {"type": "string", "enum": list(dict.fromkeys((*labels, *outside)))}
    scores = record(dict.fromkeys(labels, NUMBER))
    windows, truncated = {"windows": COUNT}, {"truncated": FLAG}
    entities = array(_fields(Entity))
    answer = _fields(Answer)
    own: dict[type[Any], Schema] = {
        Classification: {"label": best, "score": NUMBER, "scores": scores} | truncated,
        MultiLabelClassification: {"labels": array(best), "scores": scores} | truncated,
        Regression: {"value": NUMBER} | truncated,
        Entities: {"entities": entities} | windows,
        IntentSlots: {"intent": best, "score": NUMBER, "scores": scores, "slots": entities}
        | windows,
        FilledMasks: {"masks": array(array(_fields(Fill, without="token_id")))} | truncated,
        Embedding: {"values": _vector(model)} | truncated,
        Answers: {"answer": any_of(answer, {"type": "null"}), "answers": array(answer)}
        | {"no_answer": NUMBER}
        | windows
        | truncated,
        MultipleChoice: {"choice": COUNT, "chosen": TEXT, "score": NUMBER, "scores": array(NUMBER)}
        | truncated,
    }
    return record(_echo(spec.input_shape) | own[kind])


def example_of(model: ServedModel) -> Any:
    """Return an input of a model."""
    shape, tokenizer = model.predictor.manifest.model.input_shape, model.predictor.tokenizer
    if kind_of(model) is FilledMasks:
        return f"play some {tokenizer.token(tokenizer.mask)}"
    if shape.most == 1:
        return _EXAMPLE
    return {
        key: [_EXAMPLE, "turn the lights off"] if _part(key, shape) is not TEXT else _EXAMPLE
        for key in shape.keys
    }


def _echo(shape: InputShape) -> Schema:
    """Return the keys that stand before a prediction."""
    if shape.most == 1:
        return {"text": TEXT}
    return {"text": TEXT, "pair": array(TEXT) if shape.most is None else TEXT}


def _part(key: str, shape: InputShape) -> Schema:
    return array(TEXT, least=1) if shape.most is None and key == shape.keys[-1] else TEXT


def _vector(model: ServedModel) -> Schema:
    size = embedding_size(model)
    return array(NUMBER, least=size, most=size)


def _fields(kind: type[Any], without: str = "") -> Schema:
    """Return the schema of a part of a prediction, whose fields are numbers and strings."""
    plain = {str: TEXT, int: COUNT, float: NUMBER}
    own = {field.name: plain[field.type] for field in dataclasses.fields(kind)}  # type: ignore[index]
    return record({name: schema for name, schema in own.items() if name != without})

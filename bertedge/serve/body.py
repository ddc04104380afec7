"""The body of a request as JSON, whatever protocol it is of."""

from typing import Any

from bertedge.errors import DataError
from bertedge.serialization import RecordError, parse_json


def parse_body(body: bytes) -> Any:
    """Return the JSON of a body; DataError."""
    try:
        return parse_json(body)
    except RecordError as error:
        raise DataError(f"the body is no JSON: {error}") from None


def parse_object(body: bytes, example: str) -> dict[str, Any]:
    """Return a body that is an object; DataError, which shows an `example` of one."""
    data = parse_body(body)
    if not isinstance(data, dict):
        raise DataError(f"the body is no object; give {example}")
    return data

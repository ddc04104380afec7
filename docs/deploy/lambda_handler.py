"""AWS Lambda behind a function URL or an HTTP API: POST {"inputs": ["a text", ...]}."""

import base64
import json
import os
from typing import Any

import bertedge

MODEL = bertedge.load(os.environ.get("BUNDLE", "/var/task/bundle"))  # once a container


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return what `bertedge predict` prints of each text, or a 400 of one line."""
    body = event.get("body") or ""
    try:
        asked = json.loads(base64.b64decode(body) if event.get("isBase64Encoded") else body)
        answer: Any = [found.to_dict() for found in MODEL.predict(asked["inputs"])]
    except (ValueError, TypeError, KeyError, bertedge.BertedgeError) as error:
        return {
            "statusCode": 400,
            "body": json.dumps({"error": f'no {{"inputs": [...]}}: {error}'}),
        }
    headers = {"content-type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": json.dumps(answer)}

"""The page at `/`, for people who would rather look: one file, made when the server starts."""

import base64
import hashlib
import importlib.resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bertedge.html.shades import SHADES
from bertedge.serve.admission import service_of
from bertedge.serve.recent import WINDOW_S


def page_routes() -> list[Route]:
    """Return the page and what it asks for every second."""
    body, policy = make_page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def page(_: Request) -> Response:
        return Response(body, headers=headers, media_type="text/html")

    return [Route("/", page), Route("/status", _status)]


def make_page() -> tuple[bytes, str]:
    """Return the page, and the policy that lets nothing run in it but its own style and script."""
    files = importlib.resources.files("bertedge")
    own = files / "serve"
    style = _shades() + _read(files / "html" / "style.css") + _read(own / "page.css")
    script = _read(own / "page.js")
    text = _read(own / "page.html").replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return text.encode(), policy


def _shades() -> str:
    light, dark = (
        "; ".join(f"--{name}: {shades[at]}" for name, shades in SHADES.items()) for at in (0, 1)
    )
    in_dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark}; }} }}\n"
    return f":root {{ color-scheme: light dark; {light}; }}\n{in_dark}"


def _read(path: Traversable) -> str:
    return path.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


async def _status(request: Request) -> Response:
    service = service_of(request)
    models = [
        {
            "name": name,
            "sha256": model.sha256,
            "queued_tokens": model.queue.queued_tokens,
            "tokens_per_second": model.queue.tokens_per_second,
            **service.metrics.recent.summary(name),
        }
        for name, model in service.models.by_name.items()
    ]
    return JSONResponse({"unready": service.unready, "window_s": WINDOW_S, "models": models})

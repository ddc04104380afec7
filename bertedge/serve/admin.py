"""`POST /admin/reload`: what SIGHUP does, with an answer."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bertedge.serve.admission import Service, admitted, service_of


def routes() -> list[Route]:
    """Return the one endpoint; it is refused where the server asks for no keys."""
    return [Route("/admin/reload", _reload, methods=["POST"])]


async def _reload(request: Request) -> Response:
    service = service_of(request)
    if not service.keys.wanted:
        raise HTTPException(403, "who may reload is told by --api-key-file; else send SIGHUP")
    async with admitted(request):
        assert service.reload is not None  # the process set it before it let anything in
        found = await service.reload()
    failed = [each for each in found.bundles if each.error]
    body: dict[str, Any] = {
        "bundles": [
            {"names": list(each.names), "error": each.error, "sha256": _served(service, each.names)}
            for each in found.bundles
        ],
        "keys_error": found.keys_error,
    }
    if not failed and not found.keys_error:
        return JSONResponse(body)
    what = f"{len(failed)} of {len(found.bundles)} bundles" if failed else "the keys"
    return JSONResponse({"error": f"{what} could not be reloaded"} | body, 409)


def _served(service: Service, names: tuple[str, ...]) -> str:
    model = service.models.get(names[0])
    return model.sha256 if model else ""

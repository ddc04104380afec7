"""API keys, of a file, without which nothing of the models is shown."""

import hmac
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bertedge.errors import SettingError

SHORTEST = 16
"""Characters of a key."""
OPEN = ("/health", "/v2/health/")
PAGE = "/"
"""Shows nothing of the models by itself: it asks for a key, and sends it."""
Refuse = Callable[[str, int, str, dict[str, str]], Response]


class Keys:
    """The keys of a file, one a line; lines that begin with # are left out."""

    def __init__(self, path: Path | None) -> None:
        """Read the file; SettingError."""
        self._path = path
        self._keys: tuple[bytes, ...] = ()
        self.read()

    def read(self) -> None:
        """Read the file anew; those before are kept where it cannot be read: SettingError."""
        if self._path is None:
            return
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingError(f"the API keys in {self._path} cannot be read: {why}") from None
        keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not keys or any(len(key) < SHORTEST for key in keys):
            found = "a key that is shorter" if keys else "none"
            raise SettingError(
                f"{self._path} must have one key of {SHORTEST} characters or more a line; it has "
                f"{found}"
            )
        self._keys = tuple(key.encode() for key in keys)

    @property
    def wanted(self) -> bool:
        """Whether requests need one."""
        return self._path is not None

    def accept(self, given: str) -> bool:
        """Return whether a key is one of them, in a time that depends on none."""
        own = given.encode("utf-8", "surrogatepass")
        return sum(hmac.compare_digest(own, key) for key in self._keys) > 0


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path == PAGE or path.startswith(OPEN)


class KeyGuard:
    """ASGI middleware that asks for a key."""

    def __init__(self, app: ASGIApp, keys: Keys, refuse: Refuse) -> None:
        self._app = app
        self._keys = keys
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through that has a key, or needs none; 401."""
        if scope["type"] != "http" or not self._keys.wanted or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if self._keys.accept(given):
            await self._app(scope, receive, send)
            return
        message = "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
        response = self._refuse(scope["path"], 401, message, {"WWW-Authenticate": "Bearer"})
        await response(scope, receive, send)

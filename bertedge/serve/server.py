"""The process: a socket, uvicorn on it, and what signals do."""

import asyncio
import contextlib
import errno
import gc
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import uvicorn

from bertedge.errors import SettingError, first_line
from bertedge.serve.admission import Service
from bertedge.serve.app import make_app
from bertedge.serve.config import ServeConfig
from bertedge.serve.connection import Limits, connections
from bertedge.serve.keys import Keys
from bertedge.serve.metrics import Metrics
from bertedge.serve.models import Models, Reload
from bertedge.serve.open_files import ACCEPTED_AT_ONCE, room_for_connections

Say = Callable[[str], None]
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 65
"""More than the 60 of load balancers, which must be the first to close a connection."""
_POLL_SECONDS = 0.02
_MOST_NEW_OBJECTS = 50_000
"""Objects after which Python looks for cycles among them; its own 700 are four requests that wait.
With 600 waiting, every second or two it looked through all objects, and stopped all threads for
0.1 s: one refusal in a hundred took 0.16 s."""


def serve(config: ServeConfig, say: Say) -> None:
    """Serve bundles until SIGTERM or Ctrl-C, and answer what was let in; SIGHUP reloads.

    `say` gets lines for people. Raises BertedgeError where a bundle, the keys, the certificate or
    the port cannot be used.
    """
    keys = Keys(config.api_key_file)
    sock = listen(config.host, config.port)
    with contextlib.closing(sock):
        host, port = sock.getsockname()[:2]
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback and not keys.wanted:
            say(f"warning: everyone who reaches {host} may use it; --api-key-file asks for a key")
        service = make_service(config, keys)
        gc.set_threshold(_MOST_NEW_OBJECTS)
        scheme = "http" if config.tls_cert is None else "https"
        shown = f"[{host}]" if ":" in host else host
        asyncio.run(_Process(service, sock, say, f"{scheme}://{shown}:{port}").run())


def make_service(config: ServeConfig, keys: Keys) -> Service:
    """Return what the handlers share; no model is open yet."""
    metrics = Metrics(lambda: models.by_name)
    models = Models(config, metrics.batch_counter)
    return Service(config=config, models=models, keys=keys, metrics=metrics)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; SettingError where it cannot."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise SettingError(f"--host {host} is no address: {why}") from None
    try:
        if hasattr(socket, "SO_REUSEPORT"):  # not on Windows, where it would share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingError(
                f"port {port} of {host} is in use; choose another with --port (0: any free one)"
            ) from None
        raise SettingError(f"cannot listen on port {port} of {host}: {error.strerror}") from None
    return sock


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let more wait for being accepted than asyncio accepts at once, which are one in it."""
        await super().startup(sockets=sockets)
        for each in sockets or ():
            each.listen(_BACKLOG)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to `_Process`: uvicorn's own end the process before requests are answered."""
        yield


class _Process:
    def __init__(self, service: Service, sock: socket.socket, say: Say, address: str) -> None:
        self._service = service
        self._sock = sock
        self._say = say
        self._address = address
        config = service.config
        limits = Limits(
            seconds=config.max_receive,
            most=room_for_connections(config.max_connections, say),
            say=say,
        )
        uvicorn_config = uvicorn.Config(
            make_app(service),
            http=cast(Any, connections(limits)),  # what it calls to have one
            backlog=ACCEPTED_AT_ONCE,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(round(config.drain), 1),
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
        )
        try:
            uvicorn_config.load()
        except OSError as error:
            why = error.strerror
            if isinstance(error, ssl.SSLError):  # whose own words are "[SSL] PEM lib"
                why = "they are no certificate and its key, both in PEM"
            raise SettingError(
                f"--tls-cert {config.tls_cert} and --tls-key {config.tls_key} cannot be used: {why}"
            ) from None
        self._server = _Server(uvicorn_config)
        self._tasks: set[asyncio.Task[object]] = set()
        self._reloading = asyncio.Lock()
        service.reload = self._reload_all

    async def run(self) -> None:
        service = self._service
        with self._signals():
            serving = asyncio.create_task(self._server.serve(sockets=[self._sock]))
            opening = asyncio.create_task(asyncio.to_thread(service.models.open))
            try:
                await asyncio.wait({serving, opening}, return_when=asyncio.FIRST_COMPLETED)
                await opening
                service.starting = False
                if not service.draining:  # as it may be, where it was stopped meanwhile
                    self._announce()
            finally:
                if service.starting:  # no model, no server
                    self._server.should_exit = True
                await serving
                await asyncio.to_thread(service.models.close)

    def _announce(self) -> None:
        for name, model in self._service.models.by_name.items():
            predictor = model.predictor
            self._say(f"{name}: {predictor.task}, {predictor.variant.name}")
        self._say(f"serving on {self._address}; Ctrl-C stops")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        wanted = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        if hasattr(signal, "SIGHUP"):
            wanted[signal.SIGHUP] = self._reload
        before = {
            number: signal.signal(number, lambda *_, do=do: loop.call_soon_threadsafe(do))
            for number, do in wanted.items()
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        if self._service.draining:  # asked twice
            self._server.force_exit = self._server.should_exit = True
            return
        self._service.draining = True
        self._spawn(self._drain())

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._service.config.drain
        if count := self._service.under_way:
            self._say(f"shutting down; {count} request{'s' * (count > 1)} under way")
        while self._service.under_way and loop.time() < end:
            await asyncio.sleep(_POLL_SECONDS)
        self._server.should_exit = True

    def _reload(self) -> None:
        if not self._service.starting and not self._service.draining:
            self._spawn(self._reload_all())

    async def _reload_all(self) -> Reload:
        keys_error = None
        async with self._reloading:
            try:
                self._service.keys.read()
            except SettingError as error:
                keys_error = str(error)
                self._say(f"the keys before are kept: {error}")
            bundles = await asyncio.to_thread(self._service.models.reload)
            for each in bundles:
                self._service.metrics.count_reload(each.error is None)
                names = ", ".join(each.names)
                said = f"not reloaded, the one before is kept: {each.error}"
                self._say(f"{names}: {said if each.error else 'reloaded'}")
        return Reload(bundles=bundles, keys_error=keys_error)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

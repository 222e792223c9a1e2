"""The kinds of client. Each sends a request once and checks the answer; none retries."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import h11

from lab.load.http1 import Http1, Response
from lab.load.http2 import Http2
from lab.load.plan import ClientKind, LoadPlan, pieces, post_body
from lab.load.section import Failed
from lab.load.websocket import WebSocket
from lab.trust import context

Client = Callable[[int], Awaitable[None]]
"""Makes the request with this number; raises `Failed`."""

_Protocol = TypeVar("_Protocol", Http1, Http2, WebSocket)
_ALPN = {Http1: "http/1.1", Http2: "h2", WebSocket: "http/1.1"}


class Clients:
    """The clients of one run, with their connections."""

    def __init__(self, plan: LoadPlan, run: str) -> None:
        self._plan = plan
        self._run = run
        self._kept = _Kept(self._connect, plan.connections)
        self._posting = _Kept(self._connect, 0)
        self._http2: Http2 | None = None
        self._connecting = asyncio.Lock()
        self._contexts = {
            protocol: context(plan.trusted, name) if plan.trusted else None
            for protocol, name in _ALPN.items()
        }

    def of(self, kind: ClientKind) -> Client:
        """Return the client of a kind."""
        return {
            ClientKind.KEEP_ALIVE: self._keep_alive,
            ClientKind.NEW: self._new,
            ClientKind.HTTP2: self._get_http2,
            ClientKind.POST: self._post,
            ClientKind.WEBSOCKET: self._websocket,
        }[kind]

    def close(self) -> None:
        """End all connections."""
        self._kept.close()
        self._posting.close()
        if self._http2 is not None:
            self._http2.close()

    async def _keep_alive(self, _: int) -> None:
        connection = await self._kept.take()
        try:
            self._check(await connection.begin(*self._get()), None)
        except BaseException:
            self._kept.drop(connection)
            raise
        self._kept.give(connection)

    async def _new(self, _: int) -> None:
        connection = await self._connect()
        try:
            self._check(await connection.begin(*self._get(close=True)), None)
        finally:
            connection.close()

    async def _get_http2(self, _: int) -> None:
        connection = await self._http2_connection()
        self._check(await connection.get(self._plan.host, "/"), None)

    async def _post(self, number: int) -> None:
        plan = self._plan
        identity = f"{self._run}-{number}"
        body = post_body(identity, plan.post_bytes)
        gap = plan.sending_seconds(ClientKind.POST, number) / (plan.post_pieces - 1)
        connection = await self._posting.take()
        try:
            head = h11.Request(
                method="POST",
                target=f"/echo?id={identity}",
                headers=[("Host", plan.host), ("Content-Length", str(len(body)))],
            )
            answer = connection.begin(head)
            for index, piece in enumerate(pieces(body, plan.post_pieces)):
                # An answer before the body's end, or a closed connection, ends the sending.
                if index and (await asyncio.wait([answer], timeout=gap))[0]:
                    break
                connection.send(h11.Data(piece))
            else:
                connection.send(h11.EndOfMessage())
            self._check(await answer, body)
        except BaseException:
            self._posting.drop(connection)
            raise
        self._posting.give(connection)

    async def _websocket(self, number: int) -> None:
        plan = self._plan
        gap = plan.sending_seconds(ClientKind.WEBSOCKET, number) / (plan.post_pieces - 1)
        connection = await self._connected(WebSocket)
        try:
            await connection.open(f"{'wss' if plan.trusted else 'ws'}://{plan.host}/")
            for index in range(plan.post_pieces):
                if index:
                    await asyncio.sleep(gap)
                message = f"{self._run}-{number}-{index}"
                if await connection.echo(message) != message:
                    raise Failed("wrong body")
            await connection.end()
        finally:
            connection.close()

    def _get(self, *, close: bool = False) -> tuple[h11.Request, h11.EndOfMessage]:
        headers = [("Host", self._plan.host), *([("Connection", "close")] if close else [])]
        return h11.Request(method="GET", target="/", headers=headers), h11.EndOfMessage()

    def _check(self, answer: Response, body: bytes | None) -> None:
        if answer.status != 200:
            raise Failed(f"status {answer.status}")
        if body is not None:
            right = answer.body == body
        else:
            right = self._plan.body.fullmatch(answer.body.decode("latin-1")) is not None
        if not right:
            raise Failed("wrong body")

    async def _connect(self) -> Http1:
        return await self._connected(Http1)

    async def _connected(self, protocol: type[_Protocol]) -> _Protocol:
        try:
            loop = asyncio.get_running_loop()
            plan, tls = self._plan, self._contexts[protocol]
            return (
                await loop.create_connection(
                    protocol,
                    plan.address,
                    plan.port,
                    ssl=tls,
                    server_hostname=plan.host.partition(":")[0] if tls else None,
                )
            )[1]
        except ssl.SSLCertVerificationError as error:
            raise Failed(f"no connection: certificate: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise Failed(f"no connection: TLS: {error.reason}") from None
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, type(error).__name__)
            raise Failed(f"no connection: {name}") from None

    async def _http2_connection(self) -> Http2:
        # One at a time; otherwise all requests without a connection would each open one.
        async with self._connecting:
            current = self._http2
            if current is not None:
                await current.caught_up()
            if current is not None and current.full():
                current.retire()
            if current is None or not current.usable:
                current = self._http2 = await self._connected(Http2)
            if not current.usable:
                raise Failed("no connection: not HTTP/2")
            return current


class _Kept:
    """Connections that stay open between requests."""

    def __init__(self, connect: Callable[[], Awaitable[Http1]], least: int) -> None:
        self._connect = connect
        self._least = least
        self._idle: deque[Http1] = deque()
        self._busy: set[Http1] = set()

    async def take(self) -> Http1:
        """Return a connection: the one that idled longest, or a new one."""
        while self._idle and len(self._idle) + len(self._busy) >= self._least:
            connection = self._idle.popleft()
            if not connection.stale():
                self._busy.add(connection)
                return connection
            connection.close()  # gracefully closed by the server: no request was lost
        connection = await self._connect()
        self._busy.add(connection)
        return connection

    def give(self, connection: Http1) -> None:
        """Take a connection back."""
        self._busy.discard(connection)
        if connection.usable:
            self._idle.append(connection)

    def drop(self, connection: Http1) -> None:
        """Take a failed connection back."""
        self._busy.discard(connection)
        connection.close()

    def close(self) -> None:
        """End all connections."""
        for connection in (*self._idle, *self._busy):
            connection.close()

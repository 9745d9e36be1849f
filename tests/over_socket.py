"""The application over a socket of this process: only there ordinary requests have a short way."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from cm_graphql.api.connections import Connection
from cm_graphql.api.shortcut import STATE, Shortcut
from cm_graphql.app import create_app
from cm_graphql.settings import Settings


class Server:
    """The application over a socket and, beside it, without one: only over the socket there is a short way."""

    def __init__(self, over_socket: httpx.AsyncClient, direct: httpx.AsyncClient, running: uvicorn.Server) -> None:
        self.over_socket = over_socket
        self.direct = direct
        self.running = running
        self.shortcut: Shortcut = running.lifespan.state[STATE]

    async def end(self) -> None:
        """Tell it to stop, as a signal does."""
        self.running.should_exit = True

    async def both(self, body: Any, **headers: str) -> tuple[httpx.Response, httpx.Response, int]:
        """What each answers, once the request is known, and how many answers went the short way."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", **{name.replace("_", "-"): one for name, one in headers.items()}}
        await self.direct.post("/graphql", content=content, headers=given)
        expected = await self.direct.post("/graphql", content=content, headers=given)
        before = self.shortcut.answered
        found = await self.over_socket.post("/graphql", content=content, headers=given)
        return found, expected, self.shortcut.answered - before


@asynccontextmanager
async def served(database_url: str, folder: Path, **more: Any) -> AsyncIterator[Server]:
    """The application upon a database, with files in a folder; `more` are settings."""
    settings = Settings(**more, database_url=SecretStr(database_url), files_url=str(folder), system_fonts=False)
    app = create_app(settings)
    behind_proxies: Any = ProxyHeadersMiddleware(app)  # type: ignore[arg-type] # as uvicorn does
    config = uvicorn.Config(
        app, http=Connection, lifespan="on", log_config=None, server_header=False, forwarded_allow_ips=["127.0.0.1"]
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server._serve([listener]))  # as `serve`, but signals stay with pytest
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            direct = httpx.ASGITransport(behind_proxies, client=("127.0.0.1", 5))
            async with (
                httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
                httpx.AsyncClient(transport=direct, base_url=url, timeout=30) as beside,
            ):
                yield Server(client, beside, server)
        finally:
            server.should_exit = True
            await serving


def told(answer: httpx.Response) -> Any:
    """An answer without what is never the same."""
    own = ("x-request-id", "date")
    return answer.status_code, sorted(one for one in answer.headers.items() if one[0] not in own), answer.content

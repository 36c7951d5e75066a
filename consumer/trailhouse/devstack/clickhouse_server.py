"""ClickHouse's HTTP interface over the engine in this process: `python -m trailhouse.devstack.clickhouse_server`.

It serves the dev stack and the tests, on the loopback address, to whoever has the password. What SQL may
do is in ``clickhouse.xml``, and what this process may do at all in `trailhouse.devstack.landlock`.
What a server has and this has not: more than one user, sessions, replication, query logs, external tables
and the native block compression of ``compress=1``.
"""

import argparse
import asyncio
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from trailhouse.devstack.clickhouse import PASSWORD_VARIABLE
from trailhouse.devstack.connections import Connections
from trailhouse.devstack.engine import MEMORY_LIMIT_BYTES, Engine
from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http.gathered_inserts import GatheredInserts
from trailhouse.devstack.http.request import check_source, check_user, digest, read_query
from trailhouse.devstack.http.response import Answer
from trailhouse.devstack.http.statement_job import HttpJob
from trailhouse.devstack.landlock import confine
from trailhouse.devstack.start_environment import erase_start_environment
from trailhouse.schemas.errors import StackError, TrailhouseError

logger = logging.getLogger(__name__)

RIGHTS_FILE = Path(__file__).with_name("clickhouse.xml")
_MAX_PARALLEL_QUERIES = 128
_DRAIN_SECONDS = 5.0
_SHORT_BODY_BYTES = 65_536


class ClickHouseServer:
    """The HTTP application over one engine."""

    def __init__(self, engine: Engine, user: str, password_digest: bytes) -> None:
        self._engine = engine
        self._connections = Connections(engine)
        self._gathered = GatheredInserts()
        self._user = user
        # Not the password: the engine's table function `Python` sees this process's variables.
        self._password_digest = password_digest
        self._jobs: set[asyncio.Future[None]] = set()
        self._threads = ThreadPoolExecutor(_MAX_PARALLEL_QUERIES, thread_name_prefix="query")
        # Cancelling must never wait behind the statements it is to cancel.
        self._cancelling = ThreadPoolExecutor(2, thread_name_prefix="cancel")
        self._running: set[HttpJob] = set()
        self._headers = {
            "X-ClickHouse-Server-Display-Name": socket.gethostname(),
            "X-ClickHouse-Timezone": engine.timezone,
        }

    def runner(self) -> web.AppRunner:
        """Return the application, ready to be bound to an address."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/ping", self._ping)
        app.router.add_route("*", "/", self._query)
        return web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            read_bufsize=1 << 20,
            max_line_size=1 << 20,
            max_field_size=1 << 20,
            shutdown_timeout=_DRAIN_SECONDS,
        )

    async def drain(self) -> None:
        """Wait a few seconds for running statements, then cancel them."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=_DRAIN_SECONDS)
        for job in list(self._running):
            await asyncio.get_running_loop().run_in_executor(self._cancelling, job.cancel)
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=_DRAIN_SECONDS)

    def close(self) -> None:
        """Close the engine."""
        self._connections.close()
        self._engine.close()

    async def _ping(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n", headers=self._headers)

    async def _query(self, request: web.Request) -> web.StreamResponse:
        try:
            check_source(request.headers)
        except EngineError as error:
            return self._refusal(error)
        if request.method in ("GET", "HEAD") and not request.query_string:
            return web.Response(text="Ok.\n", headers=self._headers)
        try:
            values = dict(request.query)
            check_user(request.headers, self._user, self._password_digest)
            if request.content_type == "multipart/form-data":
                values |= await _form_values(request)
            query = read_query(values)
            answer = Answer(request, query, self._headers)
            body = await _read_if_short(request)
            job = HttpJob(
                self._engine, self._connections, request, query, answer, self._gathered, body
            )
        except EngineError as error:
            return self._refusal(error)
        await self._finish(job, answer)
        try:
            return await answer.deliver()
        finally:
            answer.close()

    async def _finish(self, job: HttpJob, answer: Answer) -> None:
        self._running.add(job)
        work = asyncio.get_running_loop().run_in_executor(self._threads, job.run)
        self._jobs.add(work)
        work.add_done_callback(self._jobs.discard)
        work.add_done_callback(lambda _: self._running.discard(job))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._cancelling.submit(job.client_is_gone)
            work.add_done_callback(lambda _: answer.close())
            raise

    def _refusal(self, error: EngineError) -> web.Response:
        headers = self._headers | {"X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(
            status=error.status, text=error.body(self._engine.version), headers=headers
        )


async def _read_if_short(request: web.Request) -> bytes | None:
    """Return a short body: read here, it costs no way between two threads. None leaves it to the job."""
    if request.content_length is None or request.content_length > _SHORT_BODY_BYTES:
        return None
    try:
        return await request.content.read()
    except Exception:  # noqa: BLE001 - aiohttp has a class for each way a client can go; the job meets it again
        return None


async def _form_values(request: web.Request) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for name, field in (await request.post()).items():
        if not isinstance(field, str):
            raise EngineError(48, "NOT_IMPLEMENTED", "External tables are not supported here")
        fields[name] = field
    return fields


def bind(host: str, port: int) -> socket.socket:
    """Take the port; nothing is accepted there before `serve`.

    Raises:
        StackError: The port is taken. Permanent.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise StackError(f"ClickHouse cannot listen on {host}:{port}: {error.strerror}") from error
    return bound


async def serve(server: ClickHouseServer, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = server.runner()
    await runner.setup()
    site = web.SockSite(runner, bound)
    await site.start()
    await stop.wait()
    await site.stop()
    await server.drain()
    await runner.cleanup()


def hold_folder(data_dir: Path) -> int:
    """Take the data folder for this process alone and return the lock's file descriptor.

    Raises:
        StackError: Another process holds it. Permanent until that one has ended.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(data_dir / "server.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StackError(f"another ClickHouse already runs on {data_dir}") from error
    return lock


def start_engine(data_dir: Path, memory_bytes: int, config_file: Path) -> Engine:
    """Confine this process to its own part of *data_dir*, then start the engine there.

    A thread's folder in ``/proc``, which the engine may read, shows what the process was started with: that is erased.
    """
    store, temporary = data_dir / "store", data_dir / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    for folder in (store, temporary):
        folder.mkdir(mode=0o700, exist_ok=True)
    # The variable is for the engine, which makes a folder of its own there as soon as it is imported.
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    erase_start_environment()
    if not confine([store, temporary], [config_file.parent]):
        logger.warning("this system has no Landlock: SQL reaches the files of this process's owner")
    return Engine(store, memory_bytes, config_file)


def take_password() -> bytes:
    """Return the digest of the password that the environment has, and remove it there.

    Raises:
        StackError: There is none: nobody is let in without. Permanent.
    """
    password = os.environ.pop(PASSWORD_VARIABLE, "")
    if not password:
        raise StackError(f"ClickHouse needs a password in {PASSWORD_VARIABLE}")
    return digest(password)


def main(arguments: list[str] | None = None) -> int:
    """Run the server; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="ClickHouse's HTTP interface over an engine in this process."
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument(
        "--user", default="default", help=f"the password comes from {PASSWORD_VARIABLE}"
    )
    parser.add_argument("--memory-bytes", type=int, default=MEMORY_LIMIT_BYTES)
    parser.add_argument(
        "--config-file",
        type=Path,
        default=RIGHTS_FILE,
        help="ClickHouse's own: grants and profile of the user default",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        password_digest = take_password()
        hold_folder(options.data_dir)
        # While it still may: once confined, it opens no port.
        bound = bind(options.host, options.port)
        engine = start_engine(
            options.data_dir.absolute(), options.memory_bytes, options.config_file.absolute()
        )
        server = ClickHouseServer(engine, options.user, password_digest)
        asyncio.run(serve(server, bound))
        server.close()
    except TrailhouseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The engine's own threads may outlive its last connection; everything is stored by now.
    os._exit(code)

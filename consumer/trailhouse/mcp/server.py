"""The MCP server: lists the tools, calls the reader, writes down who has read."""

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import anyio.to_thread
import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from trailhouse.access import Principal, ReadAudit
from trailhouse.access.json_form import encoded
from trailhouse.access.operations import OPERATIONS, NothingFoundError, Operation, rows_of
from trailhouse.access.parameters import values_of
from trailhouse.access.reading import FORBIDDEN_SCOPE, Reading
from trailhouse.mcp.tools import INSTRUCTIONS, NOTICE, offered, parameters_of, tool
from trailhouse.mcp.visible import visible
from trailhouse.query import AuditReader
from trailhouse.schemas.errors import QueryError, TrailhouseError

MAX_ANSWER_BYTES = 100_000
"""A page that is larger is asked for again with half as many items: a conversation has room for so much."""
NOTHING = "there is nothing of this name, or it is not yours to read"
Context = ServerRequestContext[Any, Any]


class Tools:
    """Answers a client's calls.

    Args:
        principal_of: Who calls, by what the transport knows of the request.
        reader_of: The reader of a principal.
        audit: Where it is written down who asked.
        own_session: The one session that is open; None for all that the reader sees.
    """

    def __init__(
        self,
        principal_of: Callable[[Context], Principal],
        reader_of: Callable[[Principal], AuditReader],
        audit: ReadAudit,
        *,
        own_session: str | None = None,
    ) -> None:
        self._principal_of = principal_of
        self._reader_of = reader_of
        self._audit = audit
        self._own_session = own_session

    def server(self) -> Server[Any]:
        """Return the server, for any transport."""
        return Server(
            "trailhouse",
            version=metadata.version("trailhouse"),
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        is_own = self._own_session is not None
        return types.ListToolsResult(
            tools=[tool(each, is_own_session=is_own) for each in self._offered(context)]
        )

    async def _call(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        principal = self._principal_of(context)
        given = dict(params.arguments or {})
        try:
            [operation] = [each for each in self._offered(context) if each.name == params.name]
        except ValueError:
            await anyio.to_thread.run_sync(self._note_closed, principal, params.name, given)
            return _refused("there is no such tool")
        try:
            return await anyio.to_thread.run_sync(self._answer, principal, operation, given)
        except NothingFoundError:
            return _refused(NOTHING)
        except QueryError as error:
            return _refused(str(error))
        except TrailhouseError as error:
            # Their own words name servers and settings.
            again = "; try again later" if error.retriable else ""
            return _refused(f"the log cannot be read now{again}")

    def _offered(self, context: Context) -> list[Operation]:
        scopes = self._principal_of(context).scopes
        return offered(scopes, is_own_session=self._own_session is not None)

    def _answer(
        self, principal: Principal, operation: Operation, given: dict[str, Any]
    ) -> types.CallToolResult:
        reading = Reading(
            self._audit, principal, operation.name, given, session_id=self._session(given)
        )
        with reading.noted_if_it_fails():
            try:
                bound = self._bound(operation, given)
                values: dict[str, Any] = values_of(parameters_of(operation), bound)
                values |= {"principal": principal.key, "own_session": self._own_session}
                answer, body = _fitting(operation, self._reader_of(principal), values)
            except NothingFoundError:
                reading.note(0, complete=True)
                raise
            reading.note(rows_of(answer), complete=bool(getattr(answer, "complete", True)))
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=f"{NOTICE}\n{visible(body.decode())}")],
            structured_content={"notice": NOTICE, "answer": msgspec.json.decode(body)},
        )

    def _note_closed(self, principal: Principal, name: str, given: dict[str, Any]) -> None:
        """Write down who called a tool that there is, and that is not open to them."""
        for each in OPERATIONS:
            if each.name == name and each.ask is not None:
                session = self._session(given)
                reading = Reading(self._audit, principal, name, given, session_id=session)
                reading.note(0, complete=False, failed=FORBIDDEN_SCOPE)

    def _session(self, given: Mapping[str, Any]) -> str | None:
        session = given.get("session", self._own_session)
        return session if isinstance(session, str) else None

    def _bound(self, operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was asked for, within the session that is open.

        Raises:
            NothingFoundError: It is of another one.
        """
        names = {each.name for each in operation.parameters}
        if self._own_session is None or "session" not in names:
            return dict(given)
        if given.get("session", self._own_session) != self._own_session:
            raise NothingFoundError
        return {**given, "session": self._own_session}


def _fitting(
    operation: Operation, reader: AuditReader, values: dict[str, Any]
) -> tuple[Any, bytes]:
    """Return an answer that a conversation has room for, and its JSON.

    Raises:
        QueryError: One item alone is larger. Permanent.
    """
    ask = operation.ask
    if ask is None:
        raise NothingFoundError
    while True:
        answer = ask(reader, values)
        body = encoded(answer)
        if len(body) <= MAX_ANSWER_BYTES:
            return answer, body
        if values.get("limit", 1) == 1:
            raise QueryError(
                f"the answer has {len(body)} bytes, and a tool gives {MAX_ANSWER_BYTES} at most: ask for less,"
                " or read it by the command line or the HTTP API"
            )
        came = rows_of(answer)
        values["limit"] = max(1, min(values["limit"], came if came > 1 else values["limit"]) // 2)


def _refused(why: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=why)], is_error=True)

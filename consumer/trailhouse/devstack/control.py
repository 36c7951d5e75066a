"""How `trailhouse dev status|stop|start` reaches a stack that runs in another process.

The running stack listens on a loopback port and writes it, with a secret, into ``state.json`` in its
data folder (readable by its owner alone). One connection carries one request and one answer, JSON
each on a line; the answer comes when the part is really stopped or ready.
"""

import contextlib
import hmac
import json
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trailhouse.devstack.ports import HOST
from trailhouse.devstack.private_folder import read_own, write_own
from trailhouse.schemas.errors import StackError, TrailhouseError

_LINE_BYTES = 65_536
_READ_SECONDS = 5.0
_ANSWER_SECONDS = 180.0

Action = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Answers requests of other processes by calling *act*, each in a thread of its own."""

    def __init__(self, act: Action) -> None:
        self._act = act
        self._secret = secrets.token_hex(16)
        self._listener = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def address(self) -> dict[str, Any]:
        """What a client must know, for ``state.json``."""
        return {"port": self._listener.getsockname()[1], "secret": self._secret}

    def close(self) -> None:
        """Take no more requests."""
        # A thread in accept() is woken by shutdown, not by close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_READ_SECONDS)
            answer = self._answer(connection.makefile("rb").readline(_LINE_BYTES))
            connection.settimeout(_READ_SECONDS)
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not hmac.compare_digest(
                str(request.get("secret")), self._secret
            ):
                return {"error": "refused"}
            return self._act(request)
        except ValueError:
            return {"error": "the request is not JSON"}
        except TrailhouseError as error:
            return {"error": str(error)}


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write ``state.json`` whole or not at all, for its owner's eyes only."""
    write_own(path, json.dumps(state, indent=2))


def ask_stack(state_file: Path, action: str, part: str | None = None) -> dict[str, Any]:
    """Ask the running stack of *state_file* to act; return its answer once it has.

    Raises:
        StackError: No stack runs there, its state is not ours alone, or it could not do it. Permanent.
    """
    try:
        control = json.loads(read_own(state_file))["control"]
        connection = socket.create_connection((HOST, control["port"]), _READ_SECONDS)
    except (OSError, ValueError, KeyError) as error:
        raise StackError(
            f"no stack runs on {state_file.parent}: start one with `trailhouse dev`, or name its folder with --data-dir"
        ) from error
    request = {"secret": control["secret"], "action": action, "part": part}
    try:
        with connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
    except (OSError, ValueError) as error:
        raise StackError(f"the stack on {state_file.parent} ended before it answered") from error
    if "error" in answer:
        raise StackError(answer["error"])
    return dict(answer)

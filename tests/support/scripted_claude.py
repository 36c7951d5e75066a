"""A scripted Claude: Anthropic's messages API on 127.0.0.1, which the bundled command line asks instead of a model."""

import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from waiting import DEADLINE_SECONDS


class Turn(NamedTuple):
    """What the model answers once: text and calls of tools, and what that used."""

    text: str = ""
    tools: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    """The id, name and arguments of each call."""
    tokens: tuple[int, int, int, int] = (10, 5, 0, 0)
    """Input beside the cache, output, read from the cache, written into it."""
    error: tuple[int, str] | None = None
    """The status and the message of an answer that is none."""

    @property
    def content(self) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": self.text}] if self.text else []
        return blocks + [
            {"type": "tool_use", "id": call_id, "name": name, "input": arguments}
            for call_id, name, arguments in self.tools
        ]

    @property
    def usage(self) -> dict[str, int]:
        names = (
            "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
        )  # fmt: skip
        return dict(zip(names, self.tokens, strict=True))


Script = Callable[[dict[str, Any]], Turn]
"""Answers a request's body."""


class ScriptedClaude(ThreadingHTTPServer):
    """The messages API; answers by its script, streamed as the real one does."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        self.script = script
        self.answers = 0
        self.asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()
        super().__init__(("127.0.0.1", 0), _Answering)

    @property
    def environment(self) -> dict[str, str]:
        """What has the command line ask here, and nobody else."""
        return {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.server_address[1]}",
            "ANTHROPIC_API_KEY": "a-key-of-a-test",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
        }

    def hold(self) -> None:
        """Let the next answers wait, begun but unfinished, until `goes_on` is set."""
        self.goes_on.clear()


class _Answering(BaseHTTPRequestHandler):
    server: ScriptedClaude  # pyright: ignore[reportIncompatibleVariableOverride] - as it is made

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        turn = self.server.script(body)
        if turn.error is not None:
            return self._refuse(*turn.error)
        self.server.answers += 1
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in _events(body.get("model"), f"msg_{self.server.answers:04d}", turn):
            if event["type"] == "message_delta":
                self.server.asked.set()
                self.server.goes_on.wait(DEADLINE_SECONDS)
            try:
                self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
            except OSError:
                return None  # the one who asked has gone, as the test meant
        return None

    def _refuse(self, status: int, message: str) -> None:
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(error).encode())


def _events(model: object, message_id: str, turn: Turn) -> Iterator[dict[str, Any]]:
    message = {
        "id": message_id, "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {**turn.usage, "output_tokens": 1},
    }  # fmt: skip
    yield {"type": "message_start", "message": message}
    for index, block in enumerate(turn.content):
        is_text = block["type"] == "text"
        begun = {**block, "text": ""} if is_text else {**block, "input": {}}
        delta = (
            {"type": "text_delta", "text": block["text"]}
            if is_text
            else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        )
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stopped = {"stop_reason": "tool_use" if turn.tools else "end_turn", "stop_sequence": None}
    usage = {"output_tokens": turn.usage["output_tokens"]}
    yield {"type": "message_delta", "delta": stopped, "usage": usage}
    yield {"type": "message_stop"}


def last_prompt(body: dict[str, Any]) -> str:
    """Return what the user, or a tool, said last, without what the command line adds."""
    asked = [each["content"] for each in body["messages"] if each["role"] == "user"][-1]
    if isinstance(asked, str):
        return asked
    texts = [json.dumps(block) if block["type"] != "text" else block["text"] for block in asked]
    return "\n".join(text for text in texts if "system-reminder" not in text)


@contextmanager
def scripted_claude(script: Script) -> Generator[ScriptedClaude]:
    """Serve *script* in a block."""
    with ScriptedClaude(script) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.goes_on.set()
            server.shutdown()
            thread.join()

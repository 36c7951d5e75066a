"""A provider of models on this machine: speaks OpenAI's and Anthropic's protocols, and answers from a script."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ModelServer:
    """Answers each request with the next of *answers*: a body, the events of a stream, or an error's status.

    What can be called is called as its request comes, and returns one of these, perhaps after a while.

    Attributes:
        url: Where it listens, without a path.
        requests: The bodies that it was sent.
    """

    def __init__(self, *answers: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self._answers = list(answers)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append(json.loads(body))
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Send the next answer."""
        answer = self._answers.pop(0)
        answer = answer() if callable(answer) else answer
        is_stream = isinstance(answer, list)
        text = _stream(answer) if is_stream else json.dumps(_body(answer))
        request.send_response(answer if isinstance(answer, int) else 200)
        request.send_header(
            "Content-Type", "text/event-stream" if is_stream else "application/json"
        )
        request.send_header("Content-Length", str(len(text.encode())))
        request.end_headers()
        request.wfile.write(text.encode())

    @contextmanager
    def running(self) -> Generator[str]:
        """Serve within the block; its value is the address."""
        self._thread.start()
        try:
            yield self.url
        finally:
            self._http.shutdown()
            self._http.server_close()


def _body(answer: Any) -> Any:
    return {"error": {"message": "no", "type": "test"}} if isinstance(answer, int) else answer


def _stream(events: list[Any]) -> str:
    lines = []
    for event in events:
        if isinstance(event, str):
            lines.append(f"data: {event}\n\n")
        else:
            named = f"event: {event['type']}\n" if "type" in event else ""
            lines.append(f"{named}data: {json.dumps(event)}\n\n")
    return "".join(lines)


def chat(text: str, *, id: str = "chatcmpl-1", usage: dict[str, Any] | None = None) -> Any:
    """An answer of OpenAI's chat completions."""
    return {
        "id": id,
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-test",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        **({} if usage is None else {"usage": usage}),
    }


def chat_stream(
    text: str, *, id: str = "chatcmpl-1", usage: dict[str, Any] | None = None
) -> list[Any]:
    """A streamed answer of OpenAI's chat completions; usage comes last, where it was asked for."""
    head = {"id": id, "object": "chat.completion.chunk", "created": 1, "model": "gpt-test"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": word} for word in text.split()]
    chunks: list[Any] = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage is not None:
        chunks.append(head | {"choices": [], "usage": usage})
    return [*chunks, "[DONE]"]


def response(*output: dict[str, Any], id: str = "resp-1", usage: dict[str, Any]) -> Any:
    """An answer of OpenAI's responses."""
    return {
        "id": id,
        "object": "response",
        "created_at": 1,
        "model": "gpt-test-2026-11-01",
        "status": "completed",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def says(text: str) -> dict[str, Any]:
    """A message in the output of `response`."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "msg-1", "type": "message", "role": "assistant", "status": "completed", "content": content,
    }  # fmt: skip


def message(text: str, *, id: str = "msg-1", usage: dict[str, Any]) -> Any:
    """An answer of Anthropic's messages."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }

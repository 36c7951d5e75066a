"""What clickhouse-connect asks a server at each connection, asked the tests' own server once in a process.

It reads 1,400 settings, which takes both sides longer than most questions of a test. Every other address, and
every process that a test starts, is asked as always.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from clickhouse_connect.driver.client import Client

# Not public: where a later version names them otherwise, every test says so at once.
_ASK, _TAKE = "_init_common_settings", "_apply_init_result"


@contextmanager
def remembered_handshake(url: str) -> Generator[None]:
    """Give what the server at *url* answered to the first connection to all that follow within the block."""
    ask: Callable[[Client, Any], None] = getattr(Client, _ASK)
    take: Callable[[Client, Any], None] = getattr(Client, _TAKE)
    answers: list[Any] = []

    def take_and_keep(client: Client, answer: Any) -> None:
        if client.uri == url:
            answers.append(answer)
        take(client, answer)

    def ask_once(client: Client, tz_source: Any) -> None:
        if client.uri == url and answers:
            take(client, answers[0])
        else:
            ask(client, tz_source)

    with (
        patch.object(Client, _TAKE, take_and_keep),
        patch.object(Client, _ASK, ask_once),
    ):
        yield

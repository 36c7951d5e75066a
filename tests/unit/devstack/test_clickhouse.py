"""Whether a part answers: the question must never do harm to the one who asks."""

import socket
import threading

import pytest

from trailhouse.devstack.clickhouse import answers


@pytest.mark.parametrize("half", [b"", b"HTT", b"no HTTP\r\n\r\n", b"HTTP/1.1 200"])
def test_an_answer_that_breaks_off_is_none(half: bytes) -> None:
    """A part that is killed while it answers does not answer, whatever it had sent by then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(half)

        thread = threading.Thread(target=answer)
        thread.start()
        found = answers(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert found is (half == b"HTTP/1.1 200")

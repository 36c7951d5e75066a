"""`trailhouse serve` as a process of its own, as an operator runs it."""

import re
import signal
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from command_line import PROGRAM, environment
from waiting import DEADLINE_SECONDS

_listening = re.compile(rb"listening at (https?://\S+)/api/v1")


@contextmanager
def running_api(*arguments: str, settings: Mapping[str, str]) -> Generator[str]:
    """Run the server at a free port for the time of the block; it must drain and exit with 0.

    Yields its address, without a path.
    """
    command = [*PROGRAM, "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, env=environment(settings), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            found = _listening.search(line)
            assert found is not None, line + process.stderr.read()
            yield found[1].decode()
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, told

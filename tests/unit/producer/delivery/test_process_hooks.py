"""What forking leaves behind in the parent."""

import gc
import os
from threading import Barrier, Thread

import pytest

from trailhouse.producer.delivery import process_hooks


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forks_at_the_same_time_leave_the_collector_on() -> None:
    """Threads whose forks overlap switch the collector off for the forks only."""
    together = Barrier(2)

    def fork() -> None:
        process_hooks.before_fork()
        together.wait(120)  # both have it off now
        process_hooks.after_fork_in_parent()

    threads = [Thread(target=fork) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert gc.isenabled()
    if (pid := os.fork()) == 0:
        os._exit(0 if gc.isenabled() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert gc.isenabled()

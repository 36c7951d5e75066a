"""The process around the Faust app: signals, the drain's deadline, the exit code, a quiet terminal."""

import gc
import os
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

import faust
import structlog

from trailhouse.consumer.host.logs import configure_logs

GC_THRESHOLDS = (50_000, 20, 50)
SWITCH_SECONDS = 0.000_5
EXIT_FAILED = 1
EXIT_DRAIN_OVERDUE = 75
"""EX_TEMPFAIL of sysexits.h: nothing is lost, the next worker reads the rest again."""


class WorkerProcess(faust.Worker):
    """Runs the app for `faust worker` and `trailhouse worker` alike.

    SIGTERM and SIGINT drain and exit 0; a drain that takes longer than `drain_seconds` is cut off
    with exit code 75. When the ingest loop has failed the exit code is 1.
    """

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        kwargs["redirect_stdouts"] = False
        super().__init__(app, *args, **kwargs)
        self.spinner = None
        self._drain_seconds: float = app.worker_config.drain_seconds
        self._log = structlog.get_logger("trailhouse.worker")
        app.on_failure = self._on_failure
        self._failure: BaseException | None = None

    def execute_from_commandline(self) -> NoReturn:
        """Run until stopped, then exit the process with its code."""
        configure_logs()
        _tune_interpreter()
        conf = self.app.conf
        if conf.web_enabled and (reason := _why_not_free(conf.web_bind, conf.web_port)):
            self._log.error("cannot start", reason=reason)
            raise SystemExit(EXIT_FAILED)
        try:
            super().execute_from_commandline()
        except SystemExit as ended:
            raise SystemExit(EXIT_FAILED if self._failure else ended.code) from None

    def _setup_logging(self) -> None:
        """Leave the log as `configure_logs` made it."""

    def _on_sigint(self) -> None:
        self._on_sigterm()

    def _on_sigterm(self) -> None:
        if self._signal_stop_time is None:
            self._log.info("draining", longest_seconds=self._drain_seconds)
            _cut_off_after(self._drain_seconds)
        super()._on_sigterm()

    def _on_failure(self, error: BaseException) -> None:
        """Stop the process in order; called in the event loop's thread when the ingest loop died."""
        self._failure = error
        _cut_off_after(self._drain_seconds)
        self._schedule_shutdown(signal.SIGTERM)


def _tune_interpreter() -> None:
    """Set what costs most when one thread decodes while another inserts; both measured."""
    # A batch is tens of thousands of live objects without cycles, walked again and again: 1 µs a record.
    gc.set_threshold(*GC_THRESHOLDS)
    # While one thread decodes, the other waits this long for the interpreter after every send on its
    # socket; with the default of 5 ms an insert takes a third longer.
    sys.setswitchinterval(SWITCH_SECONDS)


def _cut_off_after(seconds: float) -> None:
    timer = threading.Timer(seconds, _cut_off, [seconds])
    timer.daemon = True
    timer.start()


def _cut_off(seconds: float) -> None:
    structlog.get_logger("trailhouse.worker").error(
        "cut off",
        reason=f"the drain took longer than {seconds:g} s; what was not committed is read again",
    )
    os._exit(EXIT_DRAIN_OVERDUE)


def _why_not_free(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (
                f"{host}:{port} cannot be used ({error.strerror}): stop what listens there,"
                " or set TRAILHOUSE_WORKER_WEB_HOST and TRAILHOUSE_WORKER_WEB_PORT"
            )
    return None

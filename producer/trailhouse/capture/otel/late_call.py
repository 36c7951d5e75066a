"""A tool's call whose span started without attributes: its start waits for them, a quarter of a second at most."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.recording.recorder import Recorder


class LateCall:
    """Has a call's start logged once: by what happens next in it, by its end, or by the recorder's timer."""

    def __init__(self, recorder: Recorder, start: Callable[[], None]) -> None:
        self.recorder = recorder
        self.has_begun = False
        self._start = start
        self._lock = threading.RLock()

    def begin(self) -> None:
        """Log the start, unless that is done."""
        with self._lock:
            if not self.has_begun:
                self.has_begun = True
                self._start()

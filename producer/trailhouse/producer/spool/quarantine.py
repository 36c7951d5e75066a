"""What cannot be sent is set aside, byte for byte, in a folder beside the spools."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from trailhouse.producer.spool.files import FOLDER_OWNER_ONLY, open_file, open_folder
from trailhouse.producer.spool.frame import Damage, frame
from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.producer.spool.reader import CHUNK_BYTES, Spooled
from trailhouse.producer.spool.root import QUARANTINE, make_root, translated

log = logging.getLogger(__name__)

DAMAGED_SUFFIX = ".damaged"
REFUSED_SUFFIX = ".refused"


class SpoolQuarantine:
    """The folder for it below *root*."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep_damaged(self, name: str, items: Iterable[Spooled]) -> None:
        """Keep the damaged ranges among *items*, read from the spool *name*, before they are passed over.

        Raises:
            SpoolUnavailableError: They cannot be kept. Retriable: read the same again.
        """
        ranges = [each.found.content for each in items if isinstance(each.found, Damage)]
        # A long run of zeros holds nothing, and a file with holes may claim any number of them.
        content = b"".join(each for each in ranges if len(each) < CHUNK_BYTES or each.strip(b"\0"))
        if not content:
            return
        self._append(name + DAMAGED_SUFFIX, content)
        log.error(
            "%d damaged bytes of a spool were set aside in %s; what follows them is sent",
            len(content),
            self._root,
        )

    def keep_refused(self, name: str, queued: QueuedEvent) -> None:
        """Keep an event that the broker refuses for good, as a frame.

        Raises:
            SpoolUnavailableError: It cannot be kept. Retriable.
        """
        content = frame(max(queued.number, 0), queued.key, queued.record)
        self._append(name + REFUSED_SUFFIX, content)

    def _append(self, name: str, content: bytes) -> None:
        with translated(self._root):
            make_root(self._root)
            (self._root / QUARANTINE).mkdir(exist_ok=True, mode=FOLDER_OWNER_ONLY)
            folder = open_folder(self._root / QUARANTINE)
            try:
                file = open_file(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, dir_fd=folder)
            finally:
                os.close(folder)
            try:
                while content:
                    content = content[os.write(file, content) :]
                os.fsync(file)
            finally:
                os.close(file)

"""The name of a log: whose it is, and which partition of which topic, in which generation. Pure."""

import re
from hashlib import sha256
from typing import NamedTuple

from trailhouse.proof.note import is_key_name
from trailhouse.schemas.errors import ProofError

_FOR_URLS = str.maketrans("+/", "-_")
_GENERATION = re.compile(r"[1-9][0-9]{0,8}(-[0-9a-f]{32})?")


class LogOrigin(NamedTuple):
    """One log. `log_name` may hold slashes; the others cannot.

    Kafka's clients give a topic's id in base64, in which a slash and a plus may stand; a log's name has ``_`` and ``-``
    for them, as Kafka's own tools have. So an id of a parsed name is compared by `log_topic_id`.

    `generation` is ``1``, and after Kafka has shown other bytes than were signed, ``2-`` and so on, with the first
    16 bytes of the SHA-256 of the text (without signatures) of the last checkpoint before: its name commits to it.
    """

    log_name: str
    topic: str
    topic_id: str
    partition: int
    generation: str = "1"

    def __str__(self) -> str:
        topic_id = log_topic_id(self.topic_id)
        return "/".join((self.log_name, self.topic, topic_id, str(self.partition), self.generation))

    @property
    def generation_number(self) -> int:
        """1 for the first."""
        return int(self.generation.partition("-")[0])

    def successor(self, last_checkpoint_text: str) -> "LogOrigin":
        """Return the generation after this one, whose last checkpoint is *last_checkpoint_text*."""
        named = sha256(last_checkpoint_text.encode()).hexdigest()[:32]
        return self._replace(generation=f"{self.generation_number + 1}-{named}")


def log_topic_id(topic_id: str) -> str:
    """Return *topic_id* as it stands in the name of a log: in base64 for URLs."""
    return topic_id.translate(_FOR_URLS)


def is_generation(text: str) -> bool:
    """Tell whether *text* is the name of a generation."""
    return _GENERATION.fullmatch(text) is not None and not text.startswith("1-")


def generation_number(text: str) -> int:
    """Return which generation *text*, as somebody has stored it, seems to be: 1 for the first; 0 where none can be."""
    number = text.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0


def parse_origin(text: str) -> LogOrigin:
    """Return the log that *text* names.

    Raises:
        ProofError: It names none of ours. Permanent.
    """
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not all(parts) or not is_key_name(text):
        raise ProofError("the origin is not `name/topic/topic id/partition/generation`")
    name, topic, topic_id, partition, generation = parts
    if not partition.isascii() or not partition.isdigit() or str(int(partition)) != partition:
        raise ProofError("the origin's partition is not a plain number")
    if not is_generation(generation):
        raise ProofError("the origin's generation is malformed")
    return LogOrigin(name, topic, topic_id, int(partition), generation)

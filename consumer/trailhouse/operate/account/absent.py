"""Events that are nowhere: a hole in one producer's sequence numbers, and what the events beside it tell. Pure."""

import msgspec


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of one producer that are nowhere, and what the events beside them tell.

    Attributes:
        producer_id: Who has numbered them.
        first_seq: The first of them.
        last_seq: The last of them.
        is_expired: Whether Kafka's retention ended before they were stored; else nobody knows.
        service: The producer's service; empty when no neighbour is stored.
        host: Its host; likewise.
        sessions: The sessions of the events before and behind.
        is_implausible: Whether it is a jump that no loss explains: a forged or damaged number. Not counted.
    """

    producer_id: str
    first_seq: int
    last_seq: int
    is_expired: bool
    service: str
    host: str
    sessions: tuple[str, ...]
    is_implausible: bool = False

    @property
    def events(self) -> int:
        """How many they are."""
        return self.last_seq - self.first_seq + 1

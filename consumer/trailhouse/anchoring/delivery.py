"""Hands anchors to the places that keep them, in order; and learns from them what ClickHouse has lost."""

from collections.abc import Sequence

from trailhouse.anchoring.anchor_store import AnchorStore, Receipt, StoredAnchor
from trailhouse.anchoring.writers.writer import AnchorWriter
from trailhouse.proof.anchor_chain import broken_rules
from trailhouse.schemas.errors import AnchorError, ProofError

MISSED_AT_ONCE = 1_000
"""Of anchors that a place has missed, so many are handed to it in one go; the rest with the next anchor."""

Failures = dict[tuple[str, str], str]
"""Why, by kind and name of who failed."""


class Delivery:
    """Remembers of each place up to which number it has been given all."""

    def __init__(self, writers: Sequence[AnchorWriter]) -> None:
        self._writers = writers
        self._delivered: dict[str, int] = {}

    def caught_up(self, store: AnchorStore) -> tuple[StoredAnchor | None, Failures]:
        """Return the last anchor, once *store* has those that any place keeps and it has lost; and who could not be asked.

        Raises:
            ProofError: As for `AnchorStore.last`. Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """  # noqa: E501 names of ours; every value is a number or bound
        last, failures = store.last(), Failures()
        for writer in self._writers:
            if writer.name not in self._delivered:
                try:
                    last = self._adopt(store, writer, last)
                except AnchorError as error:
                    failures[writer.kind, writer.name] = str(error)
        return last, failures

    def deliver(self, store: AnchorStore, newest: StoredAnchor) -> tuple[list[Receipt], Failures]:
        """Hand to each place that could be asked what it has not been given yet, up to *newest*.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        receipts: list[Receipt] = []
        failures = Failures()
        for writer in self._writers:
            if writer.name not in self._delivered:
                continue
            try:
                receipts.append(self._deliver_to(writer, store, newest))
            except AnchorError as error:
                failures[writer.kind, writer.name] = str(error)
                # What it has after a failure is asked anew.
                self._delivered.pop(writer.name, None)
        return receipts, failures

    def _adopt(
        self, store: AnchorStore, writer: AnchorWriter, last: StoredAnchor | None
    ) -> StoredAnchor | None:
        """Take over from *writer* the anchors after *last*, as long as they go on from it."""
        newest = writer.newest()
        known = min(newest, last.anchor.number if last is not None else 0)
        kept = store.at(known) if known else None
        if kept is not None and writer.read(known) != kept.content.encode():
            raise AnchorError(_other(writer, known))
        for number in range(known + 1, newest + 1):
            try:
                found = store.signed(number, writer.read(number) or b"")
            except ProofError:
                raise AnchorError(_other(writer, number)) from None
            if last is not None and broken_rules(last.anchor, last.content, found.anchor):
                raise AnchorError(_other(writer, number))
            last = store.claim(number, found.content)
            if last.content != found.content:
                raise AnchorError(_other(writer, number))
        self._delivered[writer.name] = newest
        return last

    def _deliver_to(
        self, writer: AnchorWriter, store: AnchorStore, newest: StoredAnchor
    ) -> Receipt:
        first = self._delivered[writer.name] + 1
        missed = [newest]
        if first < newest.anchor.number:
            missed = store.since(first, MISSED_AT_ONCE)
        receipt = Receipt("written", writer.name)
        for stored in missed:
            number = stored.anchor.number
            if writer.write(number, stored.content.encode()) != stored.content.encode():
                raise AnchorError(_other(writer, number))
            self._delivered[writer.name] = number
            store.note(stored, [receipt])
        if self._delivered[writer.name] < newest.anchor.number:
            behind = newest.anchor.number - self._delivered[writer.name]
            raise AnchorError(
                f"{writer.name} is {behind} anchors behind, and is given more with the next"
            )
        return receipt


def _other(writer: AnchorWriter, number: int) -> str:
    return (
        f"{writer.name} has another anchor {number} than ClickHouse, or one that the log did not sign:"
        " compare them with `trailhouse verify --anchors`; where it is that of a revoked key, name another place"
    )

"""Decides what a witness answers: the numbers are HTTP's, and mean what C2SP tlog-witness says."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from trailhouse.anchoring.witness.state import WitnessState
from trailhouse.proof.add_checkpoint import AddCheckpoint, parse_add_checkpoint
from trailhouse.proof.checkpoint import Checkpoint, parse_checkpoint
from trailhouse.proof.cosignature import cosignature, cosigned_message, signature_line
from trailhouse.proof.keys import Signer, is_signed_by
from trailhouse.proof.merkle import EMPTY_ROOT, is_consistent
from trailhouse.proof.note import (
    ED25519_TYPE,
    Note,
    is_key_name,
    key_id,
    parse_verifier_key,
    signed,
    signers,
)
from trailhouse.proof.origin import parse_origin
from trailhouse.schemas.errors import AnchorError, ConfigError, ProofError, SigningError

SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What is answered: HTTP's status, the type of the body, the body."""

    status: int
    body: str
    type: str = TEXT_TYPE


class TrustedLogs:
    """Which keys may sign for which origin.

    A verifier key under the name of a log, such as ``audit.example.org/agents``, counts for the log of that very name,
    and for every topic, partition and generation under it, each of which is a log of its own: ``<name>/topic/topic
    id/partition/generation``. So a partition that is added needs nobody's leave, and a stranger's name is not known.
    """

    def __init__(self, verifier_keys: Iterable[str]) -> None:
        """Take *verifier_keys* (C2SP ``name+id+key``, Ed25519).

        Raises:
            ConfigError: One is malformed, or of another kind. Permanent.
        """
        self._keys: dict[str, list[bytes]] = {}
        for each in verifier_keys:
            try:
                name, kind, public_key = parse_verifier_key(each)
            except ProofError as error:
                raise ConfigError(f"witness logs: {error}") from None
            if kind != ED25519_TYPE:
                raise ConfigError("witness logs: a key is not a log's, of type 0x01")
            self._keys.setdefault(name, []).append(public_key)

    def keys_for(self, origin: str) -> Sequence[bytes]:
        """Return the public keys of which one must have signed; none where *origin* is not known."""
        if not is_key_name(origin):
            return ()
        if origin in self._keys:
            return self._keys[origin]
        try:
            return self._keys.get(parse_origin(origin).log_name, ())
        except ProofError:
            return ()


class Witness:
    """Cosigns under *name* by *signer*; safe from any thread."""

    def __init__(
        self,
        name: str,
        signer: Signer,
        logs: TrustedLogs,
        state: WitnessState,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._signer = signer
        self._logs = logs
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer the request `add-checkpoint`; with 200 only once what is cosigned is on the disk."""
        try:
            asked = parse_add_checkpoint(body)
            checkpoint, note = parse_checkpoint(asked.note)
        except ProofError as error:
            return Answer(_malformed(body), f"{error}\n")
        keys = self._logs.keys_for(checkpoint.origin)
        if not keys:
            return Answer(404, "this log is not known here\n")
        if not _is_signed(note, checkpoint.origin, keys):
            return Answer(403, "no key of this log has signed the checkpoint\n")
        if asked.old_size > checkpoint.size:
            return Answer(400, "the old size is above that of the checkpoint\n")
        # Compared and kept under one lock, so that no older answer overtakes a newer one.
        with self._lock:
            try:
                return self._cosigned(asked, checkpoint, note)
            except (AnchorError, SigningError) as error:
                return Answer(503, f"{error}\n")

    def checkpoint(self, origin_hash: str) -> Answer:
        """Answer what was last cosigned of the log whose name has this SHA-256, in hex."""
        try:
            content = self._state.note(origin_hash)
        except AnchorError as error:
            return Answer(503, f"{error}\n")
        return Answer(404, "nothing\n") if content is None else Answer(200, content.decode())

    def _cosigned(self, asked: AddCheckpoint, checkpoint: Checkpoint, note: Note) -> Answer:
        last = self._state.last(checkpoint.origin)
        last_size = last.size if last is not None else 0
        if asked.old_size != last_size:
            return Answer(409, f"{last_size}\n", SIZE_TYPE)
        if not _goes_on(last, checkpoint, asked.proof):
            return Answer(422, "the proof does not show that the log goes on from what was seen\n")
        at_seconds = int(self._clock())
        message = cosigned_message(note.text, at_seconds)
        public_key = self._signer.public_key
        made = cosignature(self._name, public_key, at_seconds, self._signer.sign(message))
        # Of the lines that came, only those of the log: nobody else's is served in our name.
        ids = {key_id(checkpoint.origin, key) for key in self._logs.keys_for(checkpoint.origin)}
        by_log = [
            each
            for each in note.signatures
            if each.name == checkpoint.origin and each.key_id in ids
        ]
        self._state.keep(checkpoint.origin, signed(note.text, [*by_log, made]))
        return Answer(200, f"{signature_line(made)}\n")


def _goes_on(last: Checkpoint | None, checkpoint: Checkpoint, proof: Sequence[bytes]) -> bool:
    if last is None or last.size == 0:
        return not proof
    return is_consistent(last.size, checkpoint.size, last.root, checkpoint.root, proof)


def _is_signed(note: Note, origin: str, keys: Sequence[bytes]) -> bool:
    """Tell whether one of *keys* has signed, and none that is named has not."""
    try:
        found = [origin in signers(note, {origin: key}, is_signed_by) for key in keys]
    except ProofError:
        return False
    return any(found)


def _malformed(body: bytes) -> int:
    """Return the status for a request that cannot be read: a log of no leaves with another root is one of its own."""
    try:
        lines = parse_add_checkpoint(body).note.split("\n")
    except ProofError:
        return 400
    if len(lines) < 4 or lines[1] != "0" or lines[3]:
        return 400
    try:
        parse_checkpoint(_with_empty_root(lines))
    except ProofError:
        return 400
    return 422


def _with_empty_root(lines: Sequence[str]) -> str:
    empty = Checkpoint(lines[0], 0, EMPTY_ROOT).text.split("\n")[2]
    return "\n".join([*lines[:2], empty, *lines[3:]])

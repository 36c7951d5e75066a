"""Asks a witness to cosign the checkpoints of an anchor (C2SP tlog-witness)."""

from collections.abc import Callable, Sequence

import urllib3

from trailhouse.anchoring.anchor_store import Countersigned, Receipt, StoredAnchor
from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.anchoring.tree_reader import TreeReader
from trailhouse.proof.add_checkpoint import AddCheckpoint
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.cosignature import cosigners, parse_signature_lines, signature_line
from trailhouse.proof.keys import Signer, is_signed_by, note_signed
from trailhouse.schemas.errors import AnchorError, IntegrityError, ProofError
from trailhouse.store.clickhouse import ClickHouse

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 65_536


class WitnessClient:
    """The witness at *url*; *verifier_keys* returns those of the policy's witnesses, of which one must have signed."""

    kind = "witness"

    def __init__(
        self,
        url: str,
        clickhouse: ClickHouse,
        signer: Signer,
        verifier_keys: Callable[[], Sequence[str]],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.name = url
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._clickhouse = clickhouse
        self._signer = signer
        self._verifier_keys = verifier_keys
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_seconds), retries=False
        )
        self._seen: dict[str, int] = {}
        self._is_away = False

    def countersign(self, stored: StoredAnchor) -> Countersigned:
        """As `Countersigner.countersign`: the checkpoint of each log; it goes on after one that is refused."""
        keys = self._verifier_keys()
        if not keys:
            raise AnchorError(
                f"{self.name}: the policy names no witness: `trailhouse proof witness`"
            )
        logs = {
            str(log.origin(stored.anchor.log_name)): log for log in stored_logs(self._clickhouse)
        }
        receipts: list[Receipt] = []
        refused = ""
        self._is_away = False
        for checkpoint in stored.anchor.checkpoints:
            try:
                receipts += self._cosigned(checkpoint, logs.get(checkpoint.origin), keys)
            except AnchorError as error:
                refused = refused or str(error)
                if self._is_away:
                    break
        return Countersigned(receipts, refused)

    def _cosigned(
        self, checkpoint: Checkpoint, log: StoredLog | None, keys: Sequence[str]
    ) -> list[Receipt]:
        if log is None:
            raise AnchorError(f"{self.name}: nothing of {checkpoint.origin} is stored any more")
        for _ in range(
            3
        ):  # what it has seen may be another size than was thought, and may move meanwhile
            old_size = self._seen.get(checkpoint.origin, 0)
            if old_size > checkpoint.size:
                raise AnchorError(
                    f"{self.name} has seen {checkpoint.origin} with {old_size} leaves, and it has {checkpoint.size}:"
                    " either its end was cut off, or another log is signed by the same key"
                )
            status, answer = self._ask(self._request(checkpoint, log, old_size))
            if status == 200:
                self._seen[checkpoint.origin] = checkpoint.size
                return self._receipts(checkpoint, answer, keys)
            if status != 409:
                self._seen.pop(checkpoint.origin, None)
                raise AnchorError(f"{self.name} does not cosign {checkpoint.origin} ({status})")
            size = answer.strip()
            if not size.isascii() or not size.isdigit() or len(size) > 19:
                raise AnchorError(f"{self.name} does not say which size it has seen")
            self._seen[checkpoint.origin] = int(size)
        raise AnchorError(f"{self.name} does not stay with a size of {checkpoint.origin}")

    def _request(self, checkpoint: Checkpoint, log: StoredLog, old_size: int) -> bytes:
        note = note_signed(checkpoint.text, self._signer, checkpoint.origin)
        try:
            reader = TreeReader(self._clickhouse, log)
            proof = reader.consistency_proof(old_size, checkpoint.size)
        except IntegrityError as error:
            raise AnchorError(f"{self.name} cannot be shown {checkpoint.origin}: {error}") from None
        return AddCheckpoint(old_size, tuple(proof), note).body

    def _receipts(self, checkpoint: Checkpoint, answer: str, keys: Sequence[str]) -> list[Receipt]:
        try:
            lines = parse_signature_lines(answer)
            found = list(cosigners(checkpoint.text, lines, keys, is_signed_by))
        except ProofError as error:
            raise AnchorError(f"{self.name}: {error}") from None
        if not found:
            raise AnchorError(f"{self.name} signs by no key that the policy names")
        return [
            Receipt("cosigned", each.witness, checkpoint.origin, signature_line(line).encode())
            for each, line in found
        ]

    def _ask(self, body: bytes) -> tuple[int, str]:
        try:
            answer = self._http.request(
                "POST", self._url, body=body, preload_content=False, redirect=False
            )
            content = answer.read(MAX_ANSWER_BYTES)
            if answer.length_remaining:
                answer.close()
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._is_away = True
            raise AnchorError(f"{self.name} cannot be reached ({type(error).__name__})") from None
        return answer.status, content.decode(errors="replace")

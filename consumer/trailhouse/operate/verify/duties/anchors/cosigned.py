"""What witnesses have cosigned of the anchored checkpoints, against the quorum that the policy asks for."""

import time
from collections.abc import Iterator

from trailhouse.operate.verify.anchored.anchored import Anchored
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.run import Run
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.cosignature import cosigners, parse_signature_lines
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError

TOLERANCE_SECONDS = 600
"""So long a witness may be away, besides the time between two anchors, before it is told."""
MOST_LINE_BYTES = 2_048
_PAGE = 5_000
_RECEIPTS = f"""
    SELECT number, origin, receipt FROM log_anchor_receipts
    WHERE kind = 'cosigned' AND length(receipt) <= {MOST_LINE_BYTES} AND number <= {{last:UInt64}}
        AND (number, origin, receipt) < ({{number:UInt64}}, {{origin:String}}, unhex({{receipt:String}}))
    ORDER BY number DESC, origin DESC, receipt DESC LIMIT 1 BY number, origin, receipt LIMIT {_PAGE}
"""  # noqa: S608 - names of ours; every value is a bound parameter


def tell_uncosigned(run: Run, found: Findings) -> None:
    """Tell each log that has grown for longer than may be without as many witnesses as the policy asks for.

    A later cosignature covers what was before: a witness signs nothing that does not go on from what it has seen.
    """
    anchored = run.anchored
    version = anchored.newest_policy_version
    policy = run.policies.policies.get(version)
    if policy is None or not policy.quorum:
        return
    sizes = _cosigned_sizes(run, anchored, policy)
    latest_ms = round(time.time() * 1_000) - (policy.anchor_seconds + TOLERANCE_SECONDS) * 1_000
    for log, times in anchored.limits.items():
        since_ms = times.made_after(sizes.get(log, 0))
        if since_ms is None or max(since_ms, anchored.in_force_ms[version]) > latest_ms:
            continue
        found.add(
            "not_cosigned",
            log=str(log),
            first_offset=sizes.get(log, 0),
            last_offset=max(times.size_at(anchored.newest_number) - 1, sizes.get(log, 0)),
            table="log_anchor_receipts",
            meaning=f"fewer witnesses than the policy asks for ({policy.quorum}) have cosigned what was anchored of it",
            way_out="ask the witnesses which size and root they have seen: where theirs differ, they count",
            count=1,
        )


def _cosigned_sizes(run: Run, anchored: Anchored, policy: Policy) -> dict[LogId, int]:
    """Return how many leaves of each log as many witnesses have cosigned as *policy* asks for."""
    from trailhouse.proof.keys import is_signed_by

    found: dict[LogId, int] = {}
    witnesses: dict[tuple[LogId, int, bytes], set[str]] = {}
    for number, origin, receipt in _receipts(run, anchored.newest_number):
        log = run.log_of(origin)
        if log is None or log in found or log not in anchored.limits:
            continue
        size = anchored.limits[log].size_at(number)
        for root in anchored.roots[log].get(size, ()):
            text = Checkpoint(origin, size, root).text
            try:
                lines = parse_signature_lines(receipt.decode() + "\n")
                names = {
                    each.witness
                    for each, _ in cosigners(text, lines, policy.witnesses, is_signed_by)
                }
            except (ProofError, UnicodeDecodeError):
                continue
            seen = witnesses.setdefault((log, size, root), set())
            seen |= names
            if len(seen) >= policy.quorum:
                found[log] = size
        if len(found) == len(anchored.limits):
            break
    return found


def _receipts(run: Run, last: int) -> Iterator[tuple[int, str, bytes]]:
    """Yield number of the anchor, name of the log and signature of each cosignature, the newest first."""
    after: tuple[int, str, bytes] = (2**64 - 1, "", b"")
    while True:
        values = {"last": last, "number": after[0], "origin": after[1], "receipt": after[2].hex()}
        rows = run.clickhouse.query(_RECEIPTS, values, bytes_columns=("receipt",)).rows
        yield from ((int(number), str(origin), receipt) for number, origin, receipt in rows)
        if len(rows) < _PAGE:
            return
        after = int(rows[-1][0]), rows[-1][1], rows[-1][2]

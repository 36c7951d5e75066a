"""Time-stamp tokens (RFC 3161) over anchors: by an authority of the policy, over that file, at a time that fits."""

import math
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from trailhouse.operate.verify.anchored.anchored import Anchored, anchor_names
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import Authority, Policy
from trailhouse.schemas.errors import ProofError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from trailhouse.anchoring.timestamps import Timestamp

TOLERANCE_SECONDS = 600
"""So much an authority's clock and that of who anchors may differ; so long an authority may be away."""
MAX_TOKEN_BYTES = 65_536
LAST_ANCHORS = 1_500
"""Of so many anchors, a day's, the tokens are looked at where not all of the log is asked for."""
_PAGE = 500
_COUNT = "SELECT count() FROM log_anchor_receipts WHERE kind = 'timestamped'"
_TOKENS = f"""
    SELECT number, SHA256(receipt) AS digest, if(length(receipt) <= {MAX_TOKEN_BYTES}, receipt, '') AS token
    FROM log_anchor_receipts
    WHERE kind = 'timestamped' AND number > {{after:UInt64}}
        AND (number, digest) > ({{number:UInt64}}, unhex({{digest:String}}))
    ORDER BY number, digest LIMIT 1 BY number, digest LIMIT {_PAGE}
"""  # noqa: S608 - names of ours; every value is a bound parameter


def tell_tokens(run: Run, found: Findings) -> None:
    """Tell tokens that are false or of another time than their anchor, and anchors that have waited for one too long.

    A later token covers what was before: each anchor holds the hash of the one before.
    """
    policy, anchored = run.policy, run.anchored
    count = int(run.clickhouse.query(_COUNT).rows[0][0])
    if not policy.authorities:
        if count:
            run.trusts(
                f"{count} time-stamp tokens were not looked at: the policy names no authority"
                " (`trailhouse proof authority`)"
            )
        return
    first = 0
    if run.since or not run.scope.is_all:
        first = max(anchored.newest_number - LAST_ANCHORS, 0)
        if first:
            run.trusts(f"the time-stamp tokens up to anchor {first} were not looked at")
    try:
        tokens = _Tokens(policy, anchored, _asked_from_ms(run))
    except ModuleNotFoundError:
        raise CannotCheckError(
            "time-stamp tokens: their check needs `pip install 'trailhouse[timestamp]'`"
        ) from None
    for number, token in _stored(run, first):
        tokens.look_at(number, token)
    _tell(found, tokens)
    _tell_missing(run, found, tokens.newest)


class _Tokens:
    """Looks at tokens, one after the other.

    Attributes:
        false: The anchors that have a token which is none over them by an authority that counts.
        untimely: The anchors that have one of another time.
        newest: The largest number of an anchor that has one which counts.
    """

    def __init__(self, policy: Policy, anchored: Anchored, asked_from_ms: float) -> None:
        from trailhouse.anchoring import timestamps

        self.false: list[int] = []
        self.untimely: list[int] = []
        self.newest = 0
        self._timestamps = timestamps
        self._policy = policy
        self._anchored = anchored
        self._times = dict(anchored.made)
        self._asked_from_ms = asked_from_ms
        self._roots: dict[tuple[Authority, ...], list[Certificate]] = {}

    def look_at(self, number: int, token: bytes) -> None:
        """Hold *token* against the anchor of *number*."""
        hashes = self._anchored.hashes.get(number, ())
        # Where there is no such anchor another part of the duty says so; with all authorities closed none is asked for.
        if not hashes or not self._policy.authorities_of(number):
            return
        said = self._checked(number, token, hashes)
        if said is None:
            # Before the policy named an authority nobody could know whose tokens would count.
            if self._times[number] >= self._asked_from_ms:
                self.false.append(number)
            return
        at_ms = said.at.timestamp() * 1_000
        off_ms = (TOLERANCE_SECONDS + said.accuracy_seconds) * 1_000
        made_ms = self._times[number]
        following_ms = self._anchored.made.made_after(number) or time.time() * 1_000
        if made_ms - off_ms <= at_ms <= following_ms + off_ms:
            self.newest = max(self.newest, number)
        else:
            self.untimely.append(number)

    def _checked(self, number: int, token: bytes, hashes: Collection[str]) -> "Timestamp | None":
        authorities = self._policy.authorities_of(number)
        if authorities not in self._roots:
            self._roots[authorities] = self._timestamps.roots_of(authorities)
        roots = self._roots[authorities]
        for each in hashes if roots else ():
            try:
                return self._timestamps.checked_token(token, bytes.fromhex(each), roots)
            except ProofError:
                continue
        return None


def _tell(found: Findings, tokens: _Tokens) -> None:
    if tokens.false:
        found.add(
            "token_false",
            table="log_anchor_receipts",
            name=anchor_names(tokens.false),
            meaning="a time-stamp token is not over this anchor by an authority that the policy names",
            way_out="it counts for nothing: ask who writes to this table; a later token covers the anchor as well",
            count=len(tokens.false),
        )
    if tokens.untimely:
        found.add(
            "token_time_differs",
            table="log_anchor_receipts",
            name=anchor_names(tokens.untimely),
            meaning="the authority has seen this anchor before it says to have been made, or after the next one was",
            way_out="the authority's time counts: see whether the clock of who anchors was off, else it was made later",
            count=len(tokens.untimely),
        )


def _tell_missing(run: Run, found: Findings, newest: int) -> None:
    """Tell that anchors have no token for longer than an authority may be away."""
    anchored, policy = run.anchored, run.policy
    if not any(each.last_anchor is None for each in policy.authorities):
        return
    waiting_ms = anchored.made.made_after(newest)
    allowed_ms = (policy.anchor_seconds + TOLERANCE_SECONDS) * 1_000
    if waiting_ms is None:
        return
    since_ms = max(waiting_ms, _asked_from_ms(run))
    if since_ms + allowed_ms < time.time() * 1_000:
        found.add(
            "not_time_stamped",
            table="log_anchor_receipts",
            name=f"anchors {newest + 1} to {anchored.newest_number}",
            meaning="the policy names time-stamp authorities, and no token of one covers these anchors",
            way_out="see whether the workers can reach those in `[proof] timestamp_urls`; else ask who deleted tokens",
            count=anchored.newest_number - newest,
        )


def _asked_from_ms(run: Run) -> float:
    """Return when the first anchor was made under a version of the policy that names an authority."""
    named = [version for version, each in run.policies.policies.items() if each.authorities]
    first = min(named, default=0)
    times = [at_ms for version, at_ms in run.anchored.in_force_ms.items() if version >= first]
    return min(times, default=math.inf)


def _stored(run: Run, after: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and token, each once, of the anchors behind *after*; b"" for one that is too large."""
    number, digest = 0, b""
    while True:
        values = {"after": after, "number": number, "digest": digest.hex()}
        rows = run.clickhouse.query(_TOKENS, values, bytes_columns=("digest", "token")).rows
        yield from ((int(each), token) for each, _, token in rows)
        if len(rows) < _PAGE:
            return
        number, digest = int(rows[-1][0]), rows[-1][1]

"""Records of which quarantine keeps a part alone, against the anchors that name the part: of duty 6."""

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.rows.deep import digests_in_log
from trailhouse.operate.verify.run import Run


def check_parts(run: Run, found: Findings) -> None:
    """Tell parts that are not those that were anchored, and those of records that were whole when they were."""
    unnamed = []
    left = 0
    for row in run.scan.parts:
        named = run.anchored.parts.get((row.place, row.offset), set())
        if named and row.part_sha256 not in named:
            _tell(
                found,
                row.place,
                row.offset,
                "what is kept of a large record is not what was anchored",
            )
        elif not named and run.anchored.covers(row.place, row.offset):
            unnamed.append(row)
        elif not named:
            left += 1
    # One that is in the log as well was read again by a worker that takes less.
    known = digests_in_log(run.clickhouse, [row.digest for row in unnamed]) if unnamed else set()
    for row in unnamed:
        if row.digest not in known:
            _tell(
                found,
                row.place,
                row.offset,
                "a part alone is kept of a record, and no anchor names it: it was whole when it was anchored",
            )
    if left:
        run.trusts(f"the kept parts of {left} large records, which no anchor holds yet")


def _tell(found: Findings, place: tuple[str, str, str, int], offset: int, meaning: str) -> None:
    found.add(
        "part_differs",
        log="/".join(map(str, place[1:])),
        first_offset=offset,
        table="event_quarantine",
        meaning=meaning,
        way_out="replay its offset while Kafka has it, or restore the row from a backup",
    )

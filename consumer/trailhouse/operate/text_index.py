"""What `trailhouse init --text-index` does: the index on the text of `data` made, and filled with what is stored."""

import time
from collections.abc import Callable

from trailhouse.operate.derived_rows import patient
from trailhouse.operate.setup import Action, Report, Step
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.text_index import (
    ADD,
    NAME,
    REMOVE,
    TABLE,
    Filling,
    TextIndex,
    filling,
    text_index,
)

LOOK_SECONDS = 1.0


def plan_text_index(config: ClickHouseConfig, *, is_wanted: bool) -> tuple[Step, ...]:
    """Return what `apply_text_index` would do; nothing is changed.

    Raises:
        StorageError: As for `apply_text_index`.
    """
    with ClickHouse(config) as storage:
        found = text_index(storage)
        if found is None:
            detail = "filled from the log, which may take long"
            return (_step(config, "create", detail),) if is_wanted else ()
        return (_found_step(config, found, filling(storage)),)


def apply_text_index(
    config: ClickHouseConfig,
    *,
    is_wanted: bool,
    report: Report = lambda step: None,
    wait: Callable[[float], None] = time.sleep,
) -> tuple[Step, ...]:
    """Make the index where *is_wanted* and it is missing; return once it is filled with every row of the log.

    Workers and readers go on meanwhile: where it is not filled yet, records are looked through as without it. What
    cuts this off leaves ClickHouse filling it; running it again waits for the end. Where it is not wanted, nothing is
    done, and what is there is told.

    Raises:
        StorageRejectedError: ClickHouse cannot fill it, or refuses. Permanent; names the way out.
        StorageUnavailableError: ClickHouse does not answer. Retriable.
    """
    with ClickHouse(patient(config)) as storage:
        found = text_index(storage)
        is_made = found is None and is_wanted
        if is_made:
            storage.command(ADD)
        while is_wanted and (left := filling(storage)) is not None:
            _require(left)
            report(f"filling the index {NAME}: {left.parts_left} parts of {TABLE} are left")
            wait(LOOK_SECONDS)
        now = text_index(storage)
        if now is None:
            return ()
        if is_made:
            return (_step(config, "create", f"{now.size_bytes:,} bytes, filled from the log"),)
        return (_found_step(config, now, filling(storage)),)


def _require(left: Filling) -> None:
    if left.failure:
        raise StorageRejectedError(
            f"ClickHouse cannot fill the index {NAME} of {TABLE} and goes on trying: mend what its log says, or give it"
            f" up with `KILL MUTATION` and `{REMOVE}`"
        )


def _found_step(config: ClickHouseConfig, found: TextIndex, left: Filling | None) -> Step:
    if not found.is_ours:
        detail = f"it is not what `init --text-index` makes: `{REMOVE}`, and then that"
        return _step(config, "differs", detail)
    if left is not None:
        detail = f"{left.parts_left} parts are to be filled; `init --text-index` waits for it"
        return _step(config, "keep", detail)
    return _step(config, "keep", f"{found.size_bytes:,} bytes")


def _step(config: ClickHouseConfig, action: Action, detail: str) -> Step:
    return Step(subject=f"text index in {config.database}", action=action, detail=detail)

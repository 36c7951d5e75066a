"""The settings of the worker.

A field that is not given comes from its ``TRAILHOUSE_WORKER_<KEY>`` variable, then from the file that
``TRAILHOUSE_CONFIG_FILE`` names, then from its default; see `trailhouse.schemas.settings`.
"""

import msgspec

from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import LONGEST_WAIT_SECONDS, require, setting, settle

GAP_POLICIES = ("stop", "record")


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the worker. Making one raises `ConfigError` on a bad setting."""

    group_id: str = setting("worker", "group_id", "trailhouse-worker", "Consumer group.")
    batch_rows: int = setting(
        "worker", "batch_rows", 16_000, "A batch closes at this many records.", kind=int
    )
    batch_bytes: int = setting(
        "worker", "batch_bytes", 12_582_912, "A batch closes at this many bytes.", kind=int
    )
    freshness_seconds: float = setting(
        "worker",
        "freshness_seconds",
        1.0,
        "How long a record may take to a reader; the more, the fewer inserts where little comes.",
        kind=float,
    )
    max_record_bytes: int = setting(
        "worker",
        "max_record_bytes",
        8_388_608,
        "Of a record over this size the beginning, the end and a hash are quarantined.",
        kind=int,
    )
    web_host: str = setting(
        "worker", "web_host", "127.0.0.1", "Address of `/health` and `/metrics`."
    )
    web_port: int = setting(
        "worker", "web_port", 6066, "Port of `/health` and `/metrics`.", kind=int
    )
    drain_seconds: float = setting(
        "worker",
        "drain_seconds",
        20.0,
        "Longest drain after SIGTERM before a hard exit.",
        kind=float,
    )
    max_bad_share: float = setting(
        "worker",
        "max_bad_share",
        1.0,
        "The breaker: the worker stops when more than this share of a batch is bad (1: never) …",
        kind=float,
    )
    max_bad_rows: int = setting(
        "worker", "max_bad_rows", 1_000, "… and that is more than this many records.", kind=int
    )
    session_timeout_seconds: float = setting(
        "worker",
        "session_timeout_seconds",
        10.0,
        "Kafka hands a silent worker's partitions on after this.",
        kind=float,
    )

    watchdog_seconds: float = setting(
        "worker",
        "watchdog_seconds",
        120.0,
        "A worker that stands still for so long while records wait exits with 70, to be started again (0: never).",
        kind=float,
    )
    on_gap: str = setting(
        "worker",
        "on_gap",
        "stop",
        "When Kafka has lost records that were never stored: `stop`, or `record` an incident and go on.",
    )
    account_seconds: float = setting(
        "worker",
        "account_seconds",
        60.0,
        "How often the worker of partition 0 looks for missing events (0: never).",
        kind=float,
    )

    def __post_init__(self) -> None:
        settle("worker", self)
        check_names("worker")
        require(bool(self.group_id), "worker.group_id", "not empty")
        require(1 <= self.batch_rows <= 100_000, "worker.batch_rows", "from 1 to 100000")
        require(
            1 <= self.batch_bytes <= 67_108_864,
            "worker.batch_bytes",
            "from 1 to 67108864, so that a batch is one block",
        )
        require(
            1_000 <= self.max_record_bytes <= 67_108_864,
            "worker.max_record_bytes",
            "from 1000 to 67108864",
        )
        require(0 < self.freshness_seconds <= 30, "worker.freshness_seconds", "above 0, at most 30")
        require(0 <= self.web_port <= 65_535, "worker.web_port", "from 0 to 65535")
        require(
            0 < self.drain_seconds <= LONGEST_WAIT_SECONDS,
            "worker.drain_seconds",
            f"above 0, at most {LONGEST_WAIT_SECONDS:g}",
        )
        require(0 < self.max_bad_share <= 1, "worker.max_bad_share", "above 0, at most 1")
        require(self.max_bad_rows >= 0, "worker.max_bad_rows", "0 or more")
        require(self.on_gap in GAP_POLICIES, "worker.on_gap", "stop or record")
        for name in ("watchdog_seconds", "account_seconds"):
            is_wait = 0 <= getattr(self, name) <= LONGEST_WAIT_SECONDS
            require(is_wait, f"worker.{name}", f"from 0 to {LONGEST_WAIT_SECONDS:g}")
        require(
            6 <= self.session_timeout_seconds <= 1_800,
            "worker.session_timeout_seconds",
            "from 6 to 1800",
        )

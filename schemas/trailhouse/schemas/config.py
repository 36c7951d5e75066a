"""The settings of each part as frozen values, checked when they are made.

A field that is not given comes from its ``TRAILHOUSE_<SECTION>_<KEY>`` variable, then from
``trailhouse.toml``, then from its default; see `trailhouse.schemas.settings`.
"""

import re
from typing import Any, cast

import msgspec

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.settings import check_kinds, check_names, setting

LONGEST_WAIT_SECONDS = 86_400.0
"""Every wait has a deadline; Python's own locks overflow at about 292 years."""

PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SECURITY_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
PRODUCER_MODES = ("durable", "memory")
FSYNC_POLICIES = ("never", "interval", "always")
GAP_POLICIES = ("stop", "record")
DURABILITY_KEYS = ("acks", "enable.idempotence", "message.timeout.ms", "partitioner")


_is_address = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::[0-9]{1,5})?").fullmatch


def _require(is_right: bool, name: str, rule: str) -> None:
    if not is_right:
        raise ConfigError(f"{name}: must be {rule}")


class KafkaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where Kafka is and how the topic is made. Making one raises `ConfigError` on a bad setting."""

    bootstrap_servers: str = setting(
        "kafka", "bootstrap_servers", "127.0.0.1:9092", "Brokers, `host:port`, comma-separated."
    )
    topic: str = setting("kafka", "topic", "trailhouse.events", "Topic of the events.")
    partitions: int = setting(
        "kafka", "partitions", 12, "Partitions of the topic when `init` makes it.", kind=int
    )
    replication: int = setting(
        "kafka",
        "replication",
        1,
        "Replicas of the topic when `init` makes it; 3 on a real cluster.",
        kind=int,
    )
    retention_hours: int = setting(
        "kafka", "retention_hours", 168, "Hours Kafka keeps an event.", kind=int
    )
    security_protocol: str = setting(
        "kafka",
        "security_protocol",
        "plaintext",
        "`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.",
    )
    sasl_mechanism: str = setting(
        "kafka",
        "sasl_mechanism",
        "",
        "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` …; empty for none.",
    )
    sasl_username: str = setting("kafka", "sasl_username", "", "User of SASL.")
    sasl_password: str = setting("kafka", "sasl_password", "", "Password of SASL.", is_secret=True)
    ssl_ca_location: str = setting(
        "kafka", "ssl_ca_location", "", "File of trusted certificates; empty for the system's."
    )

    def __post_init__(self) -> None:
        check_names()
        check_kinds("kafka", self)
        _require(
            all(_is_address(part.strip()) for part in self.bootstrap_servers.split(",")),
            "kafka.bootstrap_servers",
            "one host:port or several, comma-separated",
        )
        _require(
            re.fullmatch(r"[A-Za-z0-9._-]{1,249}", self.topic) is not None,
            "kafka.topic",
            "1 to 249 letters, digits, dots, dashes or underscores",
        )
        _require(1 <= self.partitions <= 10_000, "kafka.partitions", "from 1 to 10000")
        _require(1 <= self.replication <= 32, "kafka.replication", "from 1 to 32")
        _require(self.retention_hours >= 1, "kafka.retention_hours", "at least 1")
        _require(
            self.security_protocol in SECURITY_PROTOCOLS,
            "kafka.security_protocol",
            f"one of {', '.join(SECURITY_PROTOCOLS)}",
        )
        if self.security_protocol.startswith("sasl"):
            _require(bool(self.sasl_mechanism), "kafka.sasl_mechanism", "given for SASL")
        if self.security_protocol.startswith("sasl") and self.sasl_mechanism in PASSWORD_MECHANISMS:
            for name in ("sasl_username", "sasl_password"):
                rule = f"given for {self.sasl_mechanism}"
                _require(bool(getattr(self, name)), f"kafka.{name}", rule)

    def client_options(self) -> dict[str, str | int | float | bool]:
        """Return the librdkafka options that reach this cluster; secrets included, so never log it."""
        options: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        named = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
        }
        return options | {name: value for name, value in named.items() if value}

    def __repr__(self) -> str:
        return f"KafkaConfig(bootstrap_servers={self.bootstrap_servers!r}, topic={self.topic!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich may show, in a traceback's locals too: no secret."""
        return [("bootstrap_servers", self.bootstrap_servers), ("topic", self.topic)]


class ClickHouseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where ClickHouse is. Making one raises `ConfigError` on a bad setting."""

    url: str = setting("clickhouse", "url", "http://127.0.0.1:8123", "HTTP address of ClickHouse.")
    user: str = setting("clickhouse", "user", "default", "User.")
    password: str = setting("clickhouse", "password", "", "Password.", is_secret=True)
    database: str = setting(
        "clickhouse", "database", "trailhouse", "Database of the tables; `init` makes it."
    )
    timeout_seconds: float = setting(
        "clickhouse", "timeout_seconds", 30.0, "Longest wait for one statement.", kind=float
    )

    def __post_init__(self) -> None:
        check_names()
        check_kinds("clickhouse", self)
        _require(
            re.fullmatch(r"https?://[^/@\s]+/?", self.url) is not None,
            "clickhouse.url",
            "like http://host:8123, without user or path",
        )
        _require(
            re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", self.database) is not None,
            "clickhouse.database",
            "1 to 64 letters, digits or underscores",
        )
        _require(
            0 < self.timeout_seconds <= LONGEST_WAIT_SECONDS,
            "clickhouse.timeout_seconds",
            f"above 0, at most {LONGEST_WAIT_SECONDS:g}",
        )

    def __repr__(self) -> str:
        return (
            f"ClickHouseConfig(url={self.url!r}, user={self.user!r}, database={self.database!r}, …)"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich may show, in a traceback's locals too: no secret."""
        return [("url", self.url), ("user", self.user), ("database", self.database)]


class ProducerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an `AuditLogger`. Making one raises `ConfigError` on a bad setting.

    Sizes are in bytes, times in seconds. `kafka` says where the events go.
    """

    enabled: bool = setting(
        "producer", "enabled", True, "Baseline of the process: `false` writes nothing.", kind=bool
    )
    service: str = setting(
        "producer",
        "service",
        "",
        "Name of the emitting service in `source`; empty for `OTEL_SERVICE_NAME`, else the program's module or script.",
    )
    tenant_id: str = setting(
        "producer", "tenant_id", "", "Tenant of every event that names none; empty for none."
    )
    max_event_bytes: int = setting(
        "producer", "max_event_bytes", 900_000, "Largest encoded event, bytes.", kind=int
    )
    mode: str = setting(
        "producer",
        "mode",
        "durable",
        "`durable`: an event is in a spool file before `log` returns; `memory`: no file, and a kill loses what waits.",
    )
    spool_dir: str = setting(
        "producer",
        "spool_dir",
        "",
        "Folder of the spools; empty for `trailhouse/spool` under `$XDG_STATE_HOME` or `~/.local/state`.",
    )
    spool_bytes: int = setting(
        "producer",
        "spool_bytes",
        1_073_741_824,
        "Bytes that one logger's spool may take on the disk.",
        kind=int,
    )
    spool_segment_bytes: int = setting(
        "producer",
        "spool_segment_bytes",
        16_777_216,
        "A spool goes on in a new file at this size; space is freed file by file.",
        kind=int,
    )
    fsync: str = setting(
        "producer",
        "fsync",
        "interval",
        "When a spool is forced to the disk: `never`, `interval` or `always`. It matters for a power cut alone.",
    )
    fsync_interval_seconds: float = setting(
        "producer",
        "fsync_interval_seconds",
        1.0,
        "How often with `interval`: what a power cut may cost.",
        kind=float,
    )
    queue_events: int = setting(
        "producer",
        "queue_events",
        100_000,
        "Events that are kept in memory on their way to the broker; in mode `memory`, all that may wait.",
        kind=int,
    )
    queue_bytes: int = setting(
        "producer",
        "queue_bytes",
        16_777_216,
        "The same in bytes.",
        kind=int,
    )
    queue_timeout_seconds: float = setting(
        "producer",
        "queue_timeout_seconds",
        1.0,
        "Longest wait for room in a full spool or queue, before `SpoolFullError` or `QueueFullError`.",
        kind=float,
    )
    linger_seconds: float = setting(
        "producer", "linger_seconds", 0.005, "How long a batch to the broker may fill.", kind=float
    )
    close_timeout_seconds: float = setting(
        "producer",
        "close_timeout_seconds",
        10.0,
        "Longest wait for acknowledgements in `close()` and at exit.",
        kind=float,
    )
    kafka: KafkaConfig = msgspec.field(default_factory=KafkaConfig)

    def __post_init__(self) -> None:
        check_names()
        check_kinds("producer", self)
        _require(
            1_000 <= self.max_event_bytes <= 100_000_000,
            "producer.max_event_bytes",
            "from 1000 to 100000000",
        )
        _require(
            1 <= self.queue_events <= 10_000_000, "producer.queue_events", "from 1 to 10000000"
        )
        _require(
            self.queue_bytes >= self.max_event_bytes,
            "producer.queue_bytes",
            "at least producer.max_event_bytes",
        )
        _require(0 <= self.linger_seconds <= 900, "producer.linger_seconds", "from 0 to 900")
        _require(self.mode in PRODUCER_MODES, "producer.mode", "durable or memory")
        _require(self.fsync in FSYNC_POLICIES, "producer.fsync", "never, interval or always")
        _require(
            self.max_event_bytes <= self.spool_segment_bytes <= 1_073_741_824,
            "producer.spool_segment_bytes",
            "from producer.max_event_bytes to 1073741824",
        )
        _require(
            self.spool_bytes >= 2 * self.spool_segment_bytes,
            "producer.spool_bytes",
            "at least twice producer.spool_segment_bytes",
        )
        _require(
            0.01 <= self.fsync_interval_seconds <= 3_600,
            "producer.fsync_interval_seconds",
            "from 0.01 to 3600",
        )
        for name in ("queue_timeout_seconds", "close_timeout_seconds"):
            is_wait = 0 <= getattr(self, name) <= LONGEST_WAIT_SECONDS
            _require(is_wait, f"producer.{name}", f"from 0 to {LONGEST_WAIT_SECONDS:g}")
        kafka = cast(object, self.kafka)  # given in code, it may be anything
        _require(isinstance(kafka, KafkaConfig), "producer.kafka", "a KafkaConfig")
        _require(len(self.tenant_id) <= 256, "producer.tenant_id", "at most 256 characters")


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the worker. Making one raises `ConfigError` on a bad setting."""

    group_id: str = setting("worker", "group_id", "trailhouse-worker", "Consumer group.")
    batch_rows: int = setting(
        "worker", "batch_rows", 16_000, "A batch closes at this many records.", kind=int
    )
    batch_bytes: int = setting(
        "worker", "batch_bytes", 12_582_912, "A batch closes at this many bytes.", kind=int
    )
    batch_age_seconds: float = setting(
        "worker", "batch_age_seconds", 0.2, "A batch closes at this age.", kind=float
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
        check_names()
        check_kinds("worker", self)
        _require(bool(self.group_id), "worker.group_id", "not empty")
        _require(1 <= self.batch_rows <= 100_000, "worker.batch_rows", "from 1 to 100000")
        _require(
            1 <= self.batch_bytes <= 67_108_864,
            "worker.batch_bytes",
            "from 1 to 67108864, so that a batch is one block",
        )
        _require(
            0 < self.batch_age_seconds <= 60, "worker.batch_age_seconds", "above 0, at most 60"
        )
        _require(0 <= self.web_port <= 65_535, "worker.web_port", "from 0 to 65535")
        _require(
            0 < self.drain_seconds <= LONGEST_WAIT_SECONDS,
            "worker.drain_seconds",
            f"above 0, at most {LONGEST_WAIT_SECONDS:g}",
        )
        _require(0 < self.max_bad_share <= 1, "worker.max_bad_share", "above 0, at most 1")
        _require(self.max_bad_rows >= 0, "worker.max_bad_rows", "0 or more")
        _require(self.on_gap in GAP_POLICIES, "worker.on_gap", "stop or record")
        for name in ("watchdog_seconds", "account_seconds"):
            is_wait = 0 <= getattr(self, name) <= LONGEST_WAIT_SECONDS
            _require(is_wait, f"worker.{name}", f"from 0 to {LONGEST_WAIT_SECONDS:g}")
        _require(
            6 <= self.session_timeout_seconds <= 1_800,
            "worker.session_timeout_seconds",
            "from 6 to 1800",
        )

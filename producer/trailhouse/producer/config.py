"""The settings of a producer: what is logged, and what is kept of it on the way.

A field that is not given comes from its ``TRAILHOUSE_PRODUCER_<KEY>`` variable, then from the file that
``TRAILHOUSE_CONFIG_FILE`` names, then from its default; see `trailhouse.schemas.settings`.
"""

from typing import cast

import msgspec

from trailhouse.redaction.config import RedactionConfig
from trailhouse.redaction.content import ContentConfig, withholders
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.setting_names import check_names
from trailhouse.schemas.settings import LONGEST_WAIT_SECONDS, require, setting, settle

PRODUCER_MODES = ("durable", "memory")
UNENCODABLE_POLICIES = ("mark", "raise")
LEAST_SEALED_EVENT_BYTES = 8_192
FSYNC_POLICIES = ("never", "interval", "always")


class ProducerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an `AuditLogger`. Making one raises `ConfigError` on a bad setting.

    Sizes are in bytes, times in seconds. `kafka` says where the events go, `redaction` what is taken out before,
    `content` how much of what was said, asked and answered is kept.
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
    on_unencodable: str = setting(
        "producer",
        "on_unencodable",
        "mark",
        "What telemetry reports and cannot be written: `mark` the value, or `raise`, and do not log the event.",
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
        "producer",
        "linger_seconds",
        0.3,
        "Longest time for which events gather for a batch to the broker; whoever waits for an answer ends it at once.",
        kind=float,
    )
    close_timeout_seconds: float = setting(
        "producer",
        "close_timeout_seconds",
        10.0,
        "Longest wait for acknowledgements in `close()` and at exit.",
        kind=float,
    )
    seal_key_file: str = setting(
        "producer",
        "seal_key_file",
        "",
        "File with the service's private key, by which its events are sealed; or empty. Needs `trailhouse[proof]`.",
    )
    seal_seconds: int = setting(
        "producer", "seal_seconds", 60, "Time between two seals of one logger.", kind=int
    )
    seal_events: int = setting(
        "producer", "seal_events", 10_000, "Events after which one is made sooner.", kind=int
    )
    kafka: KafkaConfig = msgspec.field(default_factory=KafkaConfig)
    redaction: RedactionConfig = msgspec.field(default_factory=RedactionConfig)
    content: ContentConfig = msgspec.field(default_factory=ContentConfig)

    def __post_init__(self) -> None:
        settle("producer", self)
        check_names("producer")
        require(
            1_000 <= self.max_event_bytes <= 100_000_000,
            "producer.max_event_bytes",
            "from 1000 to 100000000",
        )
        require(1 <= self.queue_events <= 10_000_000, "producer.queue_events", "from 1 to 10000000")
        require(
            self.queue_bytes >= self.max_event_bytes,
            "producer.queue_bytes",
            "at least producer.max_event_bytes",
        )
        require(0 <= self.linger_seconds <= 900, "producer.linger_seconds", "from 0 to 900")
        require(self.mode in PRODUCER_MODES, "producer.mode", "durable or memory")
        require(
            self.on_unencodable in UNENCODABLE_POLICIES, "producer.on_unencodable", "mark or raise"
        )
        require(self.fsync in FSYNC_POLICIES, "producer.fsync", "never, interval or always")
        require(
            self.max_event_bytes <= self.spool_segment_bytes <= 1_073_741_824,
            "producer.spool_segment_bytes",
            "from producer.max_event_bytes to 1073741824",
        )
        require(
            self.spool_bytes >= 2 * self.spool_segment_bytes,
            "producer.spool_bytes",
            "at least twice producer.spool_segment_bytes",
        )
        require(
            0.01 <= self.fsync_interval_seconds <= 3_600,
            "producer.fsync_interval_seconds",
            "from 0.01 to 3600",
        )
        for name in ("queue_timeout_seconds", "close_timeout_seconds"):
            is_wait = 0 <= getattr(self, name) <= LONGEST_WAIT_SECONDS
            require(is_wait, f"producer.{name}", f"from 0 to {LONGEST_WAIT_SECONDS:g}")
        require(1 <= self.seal_seconds <= 300, "producer.seal_seconds", "from 1 to 300")
        require(10 <= self.seal_events <= 100_000, "producer.seal_events", "from 10 to 100000")
        require(
            not self.seal_key_file or self.max_event_bytes >= LEAST_SEALED_EVENT_BYTES,
            "producer.max_event_bytes",
            f"at least {LEAST_SEALED_EVENT_BYTES} with producer.seal_key_file",
        )
        kafka = cast(object, self.kafka)  # given in code, it may be anything
        require(isinstance(kafka, KafkaConfig), "producer.kafka", "a KafkaConfig")
        redaction = cast(object, self.redaction)
        require(isinstance(redaction, RedactionConfig), "producer.redaction", "a RedactionConfig")
        content = cast(object, self.content)
        require(isinstance(content, ContentConfig), "producer.content", "a ContentConfig")
        withholders(self.content, self.redaction.key)  # which refuses a digest without a key
        require(len(self.tenant_id) <= 256, "producer.tenant_id", "at most 256 characters")

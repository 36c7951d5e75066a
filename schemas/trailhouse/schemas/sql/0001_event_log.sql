-- The audit log. `record` holds the exact bytes; every other column of an event is a projection of them.
-- {database} is replaced by the configured name. Statements end in a semicolon at the end of a line, and each may be
-- run again without harm: a migration that was cut off is run from its start.

-- Sorted by time within a session, which makes neighbours alike and small: ClickHouse orders a UUID by its second half,
-- so by event_id alone a session would lie in random order. What happened when is a function of the record, so copies
-- still meet. Each part has some session on either side of any other: the index tells which parts hold it. Of the bytes
-- on disk a record's own are two thirds: they are compressed lightly while they are new and merged again and again, and
-- well by the merge that comes after an hour. Ten parts make one, not five: a row is merged less often, and a session
-- costs no more to read, since the index names its parts. A reader bound to a tenant asks with the tenant: by the id alone, what
-- another tenant has would be looked at, and cost more than what nobody has.
-- Seals lie in sessions of their own: which granules have any is told by the index of types, for four bytes a thousand events,
-- to whoever asks for new ones every few seconds.
-- A part of less than 16 MiB is one file and not 14, each of which an insert would make, sync and close, and a merge open
-- and remove. A merge is synced too: the parts that it takes the place of are removed at once where `old_parts_lifetime` is 0.
-- A partition is a year, and what says that it happened before 2025 or after 2035 is of the first or the last: producers'
-- clocks, however wrong, make 13 partitions at most, and an insert writes a part into each that it touches.
CREATE TABLE IF NOT EXISTS {database}.event_log
(
    session_id      String CODEC(ZSTD(1)),
    tenant_id       LowCardinality(String) CODEC(ZSTD(1)),
    event_id        UUID CODEC(ZSTD(1)),
    record_key      FixedString(16) COMMENT 'first half of sha256(record): tells it from every other' CODEC(NONE),
    type            LowCardinality(String) CODEC(ZSTD(1)),
    run_id          String CODEC(ZSTD(1)),
    parent_run_id   String CODEC(ZSTD(1)),
    agent_id        LowCardinality(String) CODEC(ZSTD(1)),
    occurred_us     Int64 COMMENT 'microseconds since 1970 UTC, exact for years 1 to 9999' CODEC(Delta, ZSTD(1)),
    actor_type      LowCardinality(String) CODEC(ZSTD(1)),
    actor_id        String CODEC(ZSTD(1)),
    provider        LowCardinality(String) CODEC(ZSTD(1)),
    correlation_id  String CODEC(ZSTD(1)),
    trace_id        String CODEC(ZSTD(1)),
    model           LowCardinality(String) CODEC(ZSTD(1)),
    tool_name       LowCardinality(String) CODEC(ZSTD(1)),
    tool_call_id    String CODEC(ZSTD(1)),
    error_code      LowCardinality(String) CODEC(ZSTD(1)),
    input_tokens    Nullable(UInt64) CODEC(ZSTD(1)),
    output_tokens   Nullable(UInt64) CODEC(ZSTD(1)),
    total_tokens    Nullable(UInt64) CODEC(ZSTD(1)),
    cost_usd        Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    duration_ms     Nullable(Float64) CODEC(ZSTD(1)),
    schema_version  UInt16 CODEC(ZSTD(1)),
    record          String,
    kafka_cluster   LowCardinality(String) CODEC(ZSTD(1)),
    kafka_topic     LowCardinality(String) CODEC(ZSTD(1)),
    kafka_topic_id  LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    appended_at     DateTime64(3, 'UTC') COMMENT 'the broker''s clock; the end of 2299 where the record carries its sender''s' CODEC(Delta, ZSTD(1)),
    ver             UInt64 MATERIALIZED bitNot(bitShiftLeft(least(toUInt64(toUnixTimestamp64Milli(appended_at)), 4398046511103), 22) + kafka_offset % 4194304)
                    COMMENT 'grows backwards: of two copies the first appended wins; 42 bits of time, to the year 2109' CODEC(Delta, ZSTD(1)),
    occurred_at     DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(least(greatest(occurred_us, -2208988800000000), 10413791999999999), 'UTC')
                    COMMENT 'occurred_us within the years 1900 to 2299, which DateTime64 is documented for',
    INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_session concat(tenant_id, '/', session_id) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_type type TYPE set(64) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYear(toDate32(least(greatest(intDiv(occurred_us, 86400000000), 20088), 24106)))
PRIMARY KEY (session_id, tenant_id, occurred_us)
ORDER BY (session_id, tenant_id, occurred_us, event_id, record_key)
TTL toDateTime(appended_at) + INTERVAL 1 HOUR RECOMPRESS CODEC(ZSTD(6))
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, min_bytes_for_wide_part = 134217728, index_granularity_bytes = 2097152,
    default_compression_codec = 'ZSTD(1)', merge_with_recompression_ttl_timeout = 3600, merge_selector_base = 10;

-- What readers see: each record once. Grant readers this, never the table: it reads with its owner's rights.
-- A record's partition is a function of its bytes, so copies never lie in two partitions, and a partition that is
-- one merged part is read without any merging. A condition on the key chooses rows before their records are read.
CREATE VIEW IF NOT EXISTS {database}.events
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    session_id, tenant_id, event_id, type, run_id, parent_run_id, agent_id, occurred_at, occurred_us,
    actor_type, actor_id, provider, correlation_id, trace_id, model, tool_name, tool_call_id, error_code,
    input_tokens, output_tokens, total_tokens, cost_usd, duration_ms, schema_version, record, record_key,
    kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, appended_at
FROM {database}.event_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1,
    use_skip_indexes_if_final = 1;

-- Records that are no events, byte for byte, with where they stood and why they were refused. A row may stand for a record
-- that is too large to be kept, or for a whole batch that cannot be read: its size and its hash are of all, its bytes a part.
CREATE TABLE IF NOT EXISTS {database}.event_quarantine
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64,
    appended_at     DateTime64(3, 'UTC'),
    last_offset     UInt64 COMMENT 'that of the last record for which the row stands',
    size_bytes      UInt64 COMMENT 'of the value, or of the batch in the log',
    record_hash     FixedString(32) COMMENT 'sha256 of those bytes, all of them',
    key             Nullable(String),
    record          Nullable(String) COMMENT 'NULL without a value; shorter than size_bytes where only a part is kept',
    headers         Array(Tuple(name String, value Nullable(String))),
    reason          String COMMENT 'field and rule, never the value',
    worker_version  LowCardinality(String),
    quarantined_at  DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, kafka_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

CREATE VIEW IF NOT EXISTS {database}.quarantine
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.event_quarantine FINAL;

-- What each batch held: written after its rows and before its commit.
CREATE TABLE IF NOT EXISTS {database}.batch_ledger
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    first_offset    UInt64,
    last_offset     UInt64,
    stored_rows     UInt32,
    quarantined_rows UInt32,
    records_hash    FixedString(32) COMMENT 'sha256 over the records'' sha256 in offset order',
    worker_version  LowCardinality(String),
    written_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, first_offset, last_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, merge_selector_base = 20;

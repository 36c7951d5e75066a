-- Who numbered an event, so that a missing number is found without reading records; and what went wrong for good.

ALTER TABLE {database}.event_log
    ADD COLUMN IF NOT EXISTS producer_id LowCardinality(String) DEFAULT JSONExtractString(record, 'source', 'producer_id') CODEC(ZSTD(1)) AFTER correlation_id,
    ADD COLUMN IF NOT EXISTS seq Nullable(UInt64) DEFAULT JSONExtract(record, 'source', 'seq', 'Nullable(UInt64)') CODEC(Delta, ZSTD(1)) AFTER producer_id;

-- What readers see: each record once. Grant readers this, never the table: it reads with its owner's rights.
-- A record's partition is a function of its bytes, so copies never lie in two partitions, and a partition that is
-- one merged part is read without any merging. A condition on the key chooses rows before their records are read.
CREATE OR REPLACE VIEW {database}.events
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    session_id, tenant_id, event_id, type, run_id, parent_run_id, agent_id, occurred_at, occurred_us,
    actor_type, actor_id, provider, correlation_id, trace_id, model, tool_name, tool_call_id, error_code,
    producer_id, seq,
    input_tokens, output_tokens, total_tokens, cost_usd, duration_ms, schema_version, record, record_key,
    kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, appended_at
FROM {database}.event_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1,
    use_skip_indexes_if_final = 1;

-- What the worker noticed and could not mend by itself: offsets whose records are gone or were made anew.
CREATE TABLE IF NOT EXISTS {database}.event_incidents
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    first_offset    UInt64,
    last_offset     UInt64,
    kind            LowCardinality(String) COMMENT 'expired, rewound, recreated, unreadable, skipped, open_transaction or create_time',
    detail          String,
    worker_version  LowCardinality(String),
    noticed_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, kind, first_offset, last_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

CREATE VIEW IF NOT EXISTS {database}.incidents
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.event_incidents FINAL;

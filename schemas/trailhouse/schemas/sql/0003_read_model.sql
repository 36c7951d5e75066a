-- What reads over all sessions need: the log once more in order of time, without the records, filled by the same insert.

-- Every event with what is filtered, counted and summed by. Copies of a record are equal here, so it does not matter which
-- stays; a page is read in order, without FINAL, and its copies are cut afterwards. The record follows by the log's key.
-- A granule is a stretch of time and holds few sessions, runs and actors: their filters take a tenth of a byte an event, and
-- among ten million events a run is found in a twentieth of the time. A reader bound to a tenant asks with the tenant: by the id
-- alone, what another tenant has would be looked at, and take longer than what nobody has.
-- Twenty parts make one: with five, merging costs as much again as all the rest, and with ten half of it. Rows that two conditions find lie
-- scattered, and each is read with all of its granule's columns: of half the rows, in blocks of a quarter, that is half the work, and
-- half a byte an event more. Most merges end in a part of 64 MB or less (uncompressed), and one file costs half of what a file a column does.
CREATE TABLE IF NOT EXISTS {database}.event_index
(
    occurred_us     Int64 CODEC(Delta, ZSTD(1)),
    session_id      String CODEC(ZSTD(1)),
    tenant_id       LowCardinality(String) CODEC(ZSTD(1)),
    record_key      FixedString(16) CODEC(NONE),
    type            LowCardinality(String) CODEC(ZSTD(1)),
    run_id          String CODEC(ZSTD(1)),
    parent_run_id   String CODEC(ZSTD(1)),
    agent_id        LowCardinality(String) CODEC(ZSTD(1)),
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
    record_bytes    UInt32 COMMENT 'of the record: whether it is too heavy for its page' CODEC(ZSTD(1)),
    INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_actor actor_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_correlation correlation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tool_call tool_call_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_session concat(tenant_id, '/', session_id) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_run concat(tenant_id, '/', run_id) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_actor concat(tenant_id, '/', actor_id) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_correlation concat(tenant_id, '/', correlation_id) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_trace concat(tenant_id, '/', trace_id) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tenant_tool_call concat(tenant_id, '/', tool_call_id) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYear(toDate32(least(greatest(intDiv(occurred_us, 86400000000), 20088), 24106)))
PRIMARY KEY occurred_us
ORDER BY (occurred_us, session_id, tenant_id, record_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, min_bytes_for_wide_part = 67108864, default_compression_codec = 'ZSTD(1)',
    merge_selector_base = 20, index_granularity = 4096, min_compress_block_size = 16384;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.event_index_filled TO {database}.event_index
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    occurred_us, session_id, tenant_id, record_key, type, run_id, parent_run_id, agent_id, actor_type, actor_id,
    provider, correlation_id, trace_id, model, tool_name, tool_call_id, error_code,
    input_tokens, output_tokens, total_tokens, cost_usd, duration_ms, length(record) AS record_bytes
FROM {database}.event_log;

-- The few events that carry tokens or a cost, for sums over everything.
CREATE TABLE IF NOT EXISTS {database}.event_usage
(
    occurred_us     Int64 CODEC(Delta, ZSTD(1)),
    session_id      String CODEC(ZSTD(1)),
    tenant_id       LowCardinality(String) CODEC(ZSTD(1)),
    record_key      FixedString(16) CODEC(NONE),
    type            LowCardinality(String) CODEC(ZSTD(1)),
    run_id          String CODEC(ZSTD(1)),
    agent_id        LowCardinality(String) CODEC(ZSTD(1)),
    actor_type      LowCardinality(String) CODEC(ZSTD(1)),
    actor_id        String CODEC(ZSTD(1)),
    provider        LowCardinality(String) CODEC(ZSTD(1)),
    model           LowCardinality(String) CODEC(ZSTD(1)),
    input_tokens    Nullable(UInt64) CODEC(ZSTD(1)),
    output_tokens   Nullable(UInt64) CODEC(ZSTD(1)),
    total_tokens    Nullable(UInt64) CODEC(ZSTD(1)),
    cost_usd        Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    duration_ms     Nullable(Float64) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYear(toDate32(least(greatest(intDiv(occurred_us, 86400000000), 20088), 24106)))
PRIMARY KEY occurred_us
ORDER BY (occurred_us, session_id, tenant_id, record_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, min_bytes_for_wide_part = 67108864, default_compression_codec = 'ZSTD(1)',
    merge_selector_base = 20;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.event_usage_filled TO {database}.event_usage
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    occurred_us, session_id, tenant_id, record_key, type, run_id, agent_id, actor_type, actor_id, provider, model,
    input_tokens, output_tokens, total_tokens, cost_usd, duration_ms
FROM {database}.event_log
WHERE type IN ('token_usage_updated', 'run_completed')
    OR isNotNull(input_tokens) OR isNotNull(output_tokens) OR isNotNull(total_tokens) OR isNotNull(cost_usd);

-- What readers are granted of it. Each event once, for sums; as stored, copies included, for pages read in order. Which part
-- holds a row says where there can be no copies: a count of everything reads the times alone that several parts have.
CREATE VIEW IF NOT EXISTS {database}.events_by_time
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.event_index FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1;

CREATE VIEW IF NOT EXISTS {database}.events_by_time_as_stored
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT *, _part AS stored_part FROM {database}.event_index;

CREATE VIEW IF NOT EXISTS {database}.usage_by_time
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {database}.event_usage FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1;

-- As stored, copies included: what a follower reads by offset.
CREATE VIEW IF NOT EXISTS {database}.events_as_stored
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    session_id, tenant_id, event_id, type, run_id, parent_run_id, agent_id, occurred_at, occurred_us,
    actor_type, actor_id, provider, correlation_id, trace_id, model, tool_name, tool_call_id, error_code,
    producer_id, seq,
    input_tokens, output_tokens, total_tokens, cost_usd, duration_ms, schema_version, record, record_key,
    kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, appended_at
FROM {database}.event_log;

-- Which offsets are in the tables, every record of theirs: by this a follower tells what is late from what never was.
CREATE VIEW IF NOT EXISTS {database}.stored_batches
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, first_offset, last_offset, stored_rows, quarantined_rows, written_at
FROM {database}.batch_ledger;

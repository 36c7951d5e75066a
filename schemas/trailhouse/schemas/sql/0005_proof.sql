-- Proof: a tree over each partition, whose leaf at an offset is a function of the record there; docs/proof.md has the forms.
-- Each of these tables tells its rows apart by all that they say, so that who writes another row for the same place
-- takes none away: two that differ are both seen, and found.

-- One row a record: what its leaf is made of. It keeps the whole digest, since of two copies of a record `event_log` keeps
-- one, with its offset alone. An offset below the log's size without a row holds no record.
CREATE TABLE IF NOT EXISTS {database}.log_leaves
(
    kafka_cluster   LowCardinality(String) CODEC(ZSTD(1)),
    kafka_topic     LowCardinality(String) CODEC(ZSTD(1)),
    kafka_topic_id  LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    generation      LowCardinality(String) COMMENT 'of the log, as its origin ends' CODEC(ZSTD(1)),
    kafka_offset    UInt64 COMMENT 'the index of the leaf' CODEC(Delta, ZSTD(1)),
    kind            UInt8 COMMENT '1 a record, 2 one whose value is null' CODEC(ZSTD(1)),
    appended_ms     UInt64 COMMENT 'milliseconds since 1970 UTC, by the broker''s clock, as in event_log.appended_at' CODEC(Delta, ZSTD(1)),
    digest          FixedString(32) COMMENT 'sha256 of the value' CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, generation, kafka_offset, digest, appended_ms, kind)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, min_bytes_for_wide_part = 134217728, default_compression_codec = 'ZSTD(1)';

-- Roots of perfect subtrees, of every 8th level: a proof, and a worker that starts, read a few of them and not all leaves.
-- Whoever reads one may work it out again from the leaves.
CREATE TABLE IF NOT EXISTS {database}.log_nodes
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    generation      LowCardinality(String),
    level           UInt8 COMMENT 'its subtree has 2 ^ level leaves',
    node_index      UInt64 CODEC(Delta, ZSTD(1)),
    hash            FixedString(32) CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, generation, level, node_index, hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

-- What was signed of each log: C2SP checkpoints.
CREATE TABLE IF NOT EXISTS {database}.log_checkpoints
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    generation      LowCardinality(String),
    size            UInt64 COMMENT 'leaves of the log' CODEC(Delta, ZSTD(1)),
    roots           Array(FixedString(32)) COMMENT 'of its perfect subtrees, the largest first: a worker goes on from them',
    checkpoint      String COMMENT 'the signed note; without a key, the text that would be signed' CODEC(ZSTD(1)),
    written_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, generation, size, checkpoint, roots)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

-- Every policy that was put into force: its signed text.
CREATE TABLE IF NOT EXISTS {database}.log_policies
(
    version         UInt32,
    policy          String CODEC(ZSTD(3)),
    stored_at       DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(stored_at)
ORDER BY (version, policy)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Every anchor, as it was written to where others keep it; and what came back for it: cosignatures, time-stamp tokens.
CREATE TABLE IF NOT EXISTS {database}.log_anchors
(
    number          UInt64,
    anchor          String COMMENT 'the signed note' CODEC(ZSTD(1)),
    cosignatures    Array(String) COMMENT 'lines of C2SP cosignatures on its checkpoints' CODEC(ZSTD(1)),
    timestamp_tokens Array(String) COMMENT 'RFC 3161 tokens over the SHA-256 of the anchor, DER' CODEC(ZSTD(1)),
    written_to      Array(String) COMMENT 'the writers that acknowledged it',
    stored_at       DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(stored_at)
ORDER BY (number, anchor)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Every finished day of every log: which offsets it has, how many sessions, and the root that anchors name.
CREATE TABLE IF NOT EXISTS {database}.session_manifests
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    generation      LowCardinality(String),
    day             LowCardinality(String) COMMENT 'of UTC, by the broker''s clock: 2026-11-28',
    first_offset    UInt64,
    end_offset      UInt64 COMMENT 'that after the last',
    sessions        UInt64,
    root            FixedString(32) COMMENT 'over header and entries',
    written_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, generation, day, first_offset, end_offset, root)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

-- The entries of each: one a session. They are written before the row above.
CREATE TABLE IF NOT EXISTS {database}.session_manifest_entries
(
    kafka_cluster   LowCardinality(String) CODEC(ZSTD(1)),
    kafka_topic     LowCardinality(String) CODEC(ZSTD(1)),
    kafka_topic_id  LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    generation      LowCardinality(String) CODEC(ZSTD(1)),
    day             LowCardinality(String) CODEC(ZSTD(1)),
    session_key     FixedString(32) COMMENT 'a hash of log, day, tenant and session' CODEC(NONE),
    leaves          UInt64 CODEC(ZSTD(1)),
    root            FixedString(32) COMMENT 'over the session''s leaves of that day' CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition, generation, day, session_key, leaves, root)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, default_compression_codec = 'ZSTD(1)';

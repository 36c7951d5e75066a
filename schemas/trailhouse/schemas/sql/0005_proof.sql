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
    min_bytes_for_full_part_storage = 16777216, min_bytes_for_wide_part = 134217728, default_compression_codec = 'ZSTD(1)', merge_selector_base = 20;

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
    min_bytes_for_full_part_storage = 16777216, merge_selector_base = 20;

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
    min_bytes_for_full_part_storage = 16777216, merge_selector_base = 20;

-- When a partition was last seen to be stored up to its end: Kafka was asked, and no record waited for a worker. By it
-- one in which nothing happens is told from one that no worker serves. The newest row of each counts.
CREATE TABLE IF NOT EXISTS {database}.partition_ends
(
    kafka_cluster   LowCardinality(String),
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    end_offset      UInt64 COMMENT 'that after the last record',
    asked_at        DateTime64(3, 'UTC') COMMENT 'when Kafka was asked, by the worker''s clock'
)
ENGINE = ReplacingMergeTree(asked_at)
ORDER BY (kafka_cluster, kafka_topic_id, kafka_topic, kafka_partition)
SETTINGS min_rows_to_fsync_after_merge = 1, min_bytes_for_full_part_storage = 16777216, merge_selector_base = 20;

-- Every policy that was put into force: its signed text.
CREATE TABLE IF NOT EXISTS {database}.log_policies
(
    version         UInt32,
    policy          String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY (version, policy)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Every order of an operator: records erased by their digests, legal holds; see `trailhouse.proof.erasure`.
CREATE TABLE IF NOT EXISTS {database}.log_erasures
(
    number          UInt64 COMMENT 'of the order',
    kind            LowCardinality(String) COMMENT 'erase, hold or lift',
    erasure         String COMMENT 'the signed note' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (number, kind, erasure)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- What readers are granted of it: which records were erased, and by which order; `trailhouse verify` checks who signed it.
CREATE VIEW IF NOT EXISTS {database}.erasures
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT number, unhex(line) AS digest
FROM {database}.log_erasures ARRAY JOIN splitByChar('\n', erasure) AS line
WHERE kind = 'erase' AND match(line, '^[0-9a-f]{64}$');

-- What was offered as the anchor of a number. Of two who anchor at once the first counts, as the numbers of their blocks
-- tell, which merges keep here; the other is published nowhere. A row says nothing once its number is in `log_anchors`.
CREATE TABLE IF NOT EXISTS {database}.log_anchor_offers
(
    number          UInt64,
    anchor          String COMMENT 'the signed note' CODEC(ZSTD(1)),
    offered_at      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY number
TTL toDateTime(offered_at) + INTERVAL 7 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, enable_block_number_column = 1;

-- Every anchor, as it was written to where others keep it.
CREATE TABLE IF NOT EXISTS {database}.log_anchors
(
    number          UInt64,
    anchor          String COMMENT 'the signed note' CODEC(ZSTD(1)),
    made_ms         UInt64 MATERIALIZED toUInt64OrZero(splitByChar('\n', anchor, 4)[4]) COMMENT 'milliseconds since 1970 UTC, as the note says' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (number, anchor)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

-- What came back for an anchor: who keeps it, what witnesses and time-stamp authorities have signed.
CREATE TABLE IF NOT EXISTS {database}.log_anchor_receipts
(
    number          UInt64,
    anchor_sha256   FixedString(32) COMMENT 'of the signed note',
    kind            LowCardinality(String) COMMENT 'written, cosigned or timestamped',
    origin          String COMMENT 'cosigned: the log whose checkpoint in the anchor it is',
    source          String COMMENT 'the writer as the settings name it, the name of the witness, or the URL of the authority',
    receipt         String COMMENT 'cosigned: the line of C2SP cosignature; timestamped: the RFC 3161 token, DER' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (number, anchor_sha256, kind, origin, source, receipt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216;

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
    root            FixedString(32) COMMENT 'over header and entries'
)
ENGINE = ReplacingMergeTree
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

-- Standing: what seals and the policy say about each event. All of it follows from the records of seals and from the
-- policy, and `trailhouse verify` works it out again: whoever changes rows here is found.

-- The newest policy, as readers need it: for whom each service may write, a row a key. The row without a service says for whom
-- may be written without a key. Of one policy alone: `version` tells which.
CREATE TABLE IF NOT EXISTS {database}.policy_services
(
    version         UInt32,
    service         String,
    public_key      String COMMENT 'in base64; empty where no key is needed',
    tenants         Array(String) COMMENT '* for each, the empty text for events of none',
    last_anchor     Nullable(UInt64) COMMENT 'only what this anchor covers counts; NULL while the key is in use',
    changed_in      UInt32 COMMENT 'the version since which the key is as it is: seals that were judged before it are judged again'
)
ENGINE = ReplacingMergeTree
ORDER BY (version, service, public_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- One row a seal that came, whoever sent it, and what was found of it.
CREATE TABLE IF NOT EXISTS {database}.seal_checks
(
    producer_id     String COMMENT 'whose numbers it is about; empty where it cannot be read',
    service         String COMMENT 'that seals them',
    first_seq       UInt64 CODEC(Delta, ZSTD(1)),
    last_seq        UInt64 CODEC(Delta, ZSTD(1)),
    end_seq         UInt64 COMMENT 'from here on no number is the logger''s, but for its closing seal; 0 while it is open' CODEC(Delta, ZSTD(1)),
    session_id      String COMMENT 'of the event that carries it, as are the next three: they find it in the log',
    tenant_id       LowCardinality(String),
    occurred_us     Int64 CODEC(Delta, ZSTD(1)),
    seal_key        FixedString(16) COMMENT 'its record_key' CODEC(NONE),
    seal_hash       FixedString(16) COMMENT 'first half of the SHA-256 of what is signed: a copy has it too' CODEC(NONE),
    public_key      String COMMENT 'in base64',
    verdict         LowCardinality(String) COMMENT 'whole, incomplete or broken count; unknown_key, revoked, forged and malformed do not',
    sealed          UInt64 COMMENT 'records that are there as it says',
    missing         UInt64 COMMENT 'records that are not there',
    policy_version  UInt32,
    looks           UInt16 COMMENT 'how often it was judged',
    kafka_topic     LowCardinality(String),
    kafka_topic_id  LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    appended_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    judged_at       DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(judged_at)
ORDER BY (producer_id, service, first_seq, last_seq, seal_key, kafka_topic_id, kafka_partition, kafka_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, merge_selector_base = 20;

-- One row an event that a seal that counts has named. In order of time, as `event_index` is: what is asked of a time reads no other.
CREATE TABLE IF NOT EXISTS {database}.event_standings
(
    occurred_us     Int64 CODEC(Delta, ZSTD(1)),
    record_key      FixedString(16) CODEC(NONE),
    standing        LowCardinality(String) COMMENT 'attested, disputed, or unattested again after a key was revoked' CODEC(ZSTD(1)),
    ver             UInt64 COMMENT 'the policy''s version, and within one what is attested wins' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
PRIMARY KEY occurred_us
ORDER BY (occurred_us, record_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_full_part_storage = 16777216, default_compression_codec = 'ZSTD(1)', merge_selector_base = 20;

-- What readers are granted of it.
CREATE VIEW IF NOT EXISTS {database}.services
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT version, service, public_key, tenants, last_anchor, changed_in
FROM {database}.policy_services FINAL
WHERE version = (SELECT max(version) FROM {database}.policy_services);

CREATE VIEW IF NOT EXISTS {database}.seals
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    producer_id, service, first_seq, last_seq, end_seq, public_key, verdict, sealed, missing, policy_version,
    kafka_topic_id, kafka_partition, kafka_offset, appended_at, judged_at
FROM {database}.seal_checks FINAL;

CREATE VIEW IF NOT EXISTS {database}.standings
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT occurred_us, record_key, standing FROM {database}.event_standings FINAL;

-- Each event once, with its standing: `trailhouse.proof.standing` has the same rules in Python, and a test holds the two together.
-- The service is looked for in the record alone where no seal has decided.
CREATE OR REPLACE VIEW {database}.events_with_standing
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    (SELECT (groupArray(service), groupArray(allowed)) FROM (
        SELECT service, groupUniqArrayArray(tenants) AS allowed FROM {database}.services GROUP BY service
    )) AS policy,
    indexOf(tupleElement(policy, 1), JSONExtractString(event.record, 'source', 'service')) AS enrolled,
    tupleElement(policy, 2)[enrolled] AS own_tenants,
    tupleElement(policy, 2)[indexOf(tupleElement(policy, 1), '')] AS open_tenants,
    event.seq IS NULL OR event.producer_id = '' OR enrolled = 0 OR JSONExtractString(event.record, 'source', 'service') = '' AS is_open
SELECT
    event.session_id AS session_id, event.tenant_id AS tenant_id, event.event_id AS event_id, event.type AS type,
    event.run_id AS run_id, event.parent_run_id AS parent_run_id, event.agent_id AS agent_id, event.occurred_at AS occurred_at,
    event.occurred_us AS occurred_us, event.actor_type AS actor_type, event.actor_id AS actor_id, event.provider AS provider,
    event.correlation_id AS correlation_id, event.trace_id AS trace_id, event.model AS model, event.tool_name AS tool_name,
    event.tool_call_id AS tool_call_id, event.error_code AS error_code, event.producer_id AS producer_id, event.seq AS seq,
    event.input_tokens AS input_tokens, event.output_tokens AS output_tokens, event.total_tokens AS total_tokens,
    event.cost_usd AS cost_usd, event.duration_ms AS duration_ms, event.schema_version AS schema_version,
    event.record AS record, event.data AS data, event.record_key AS record_key, event.kafka_cluster AS kafka_cluster,
    event.kafka_topic AS kafka_topic, event.kafka_topic_id AS kafka_topic_id, event.kafka_partition AS kafka_partition,
    event.kafka_offset AS kafka_offset, event.appended_at AS appended_at,
    CAST(multiIf(
        judged.standing IN ('attested', 'disputed'), judged.standing,
        empty(tupleElement(policy, 1)), 'unattested',
        is_open, if(has(open_tenants, '*') OR has(open_tenants, event.tenant_id), 'unattested', 'disputed'),
        NOT (has(own_tenants, '*') OR has(own_tenants, event.tenant_id) OR event.type = 'audit_sealed' AND event.tenant_id = ''), 'disputed',
        judged.standing = 'unattested', 'unattested',
        covering.service = JSONExtractString(event.record, 'source', 'service')
            AND (event.number <= covering.last_seq OR covering.end_seq > 0 AND event.number >= covering.end_seq), 'disputed',
        event.appended_at > now64(3) - toIntervalSecond(420) AND event.appended_at < toDateTime64('2299-12-31 00:00:00', 3, 'UTC'), 'pending',
        'unattested'
    ), 'LowCardinality(String)') AS standing
FROM (SELECT *, ifNull(seq, 0) AS number FROM {database}.events) AS event
LEFT JOIN {database}.standings AS judged ON event.occurred_us = judged.occurred_us AND event.record_key = judged.record_key
ASOF LEFT JOIN (
    SELECT producer_id, service, first_seq, last_seq, end_seq FROM {database}.seal_checks FINAL
    WHERE verdict IN ('whole', 'incomplete', 'broken')
) AS covering ON event.producer_id = covering.producer_id AND event.number >= covering.first_seq
SETTINGS join_use_nulls = 0;

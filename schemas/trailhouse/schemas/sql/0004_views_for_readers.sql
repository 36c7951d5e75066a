-- What readers ask in SQL: `events`, `runs`, `sessions`, `token_usage`, `tool_calls`, `approvals`, each column with what it
-- means. docs/reads.md defines the words, docs/cookbook.md has questions. A copy of a record moves none of the answers.

-- As before, with `data` beside the record. A condition on session_id reads that session alone; what is asked of all
-- sessions by time is quicker of `events_by_time`.
CREATE OR REPLACE VIEW {database}.events
(
    session_id      String COMMENT 'the session; two tenants may use the same id',
    tenant_id       LowCardinality(String) COMMENT 'the tenant; empty without one',
    event_id        UUID COMMENT 'of the event; a resend keeps it',
    type            LowCardinality(String) COMMENT 'what happened: run_started, tool_call_failed … or a type of your own',
    run_id          String COMMENT 'the run; empty without one',
    parent_run_id   String COMMENT 'the run that started this one; empty without one',
    agent_id        LowCardinality(String) COMMENT 'the agent; empty without one',
    occurred_at     DateTime64(6, 'UTC') COMMENT 'when it happened, by the producer''s clock, within the years 1900 to 2299',
    occurred_us     Int64 COMMENT 'the same in microseconds since 1970 UTC, exact for years 1 to 9999',
    actor_type      LowCardinality(String) COMMENT 'person, agent or service on whose behalf; empty without one',
    actor_id        String COMMENT 'who that is; empty without one',
    provider        LowCardinality(String) COMMENT 'of the model; empty without one',
    correlation_id  String COMMENT 'of the application; empty without one',
    trace_id        String COMMENT 'of the trace; empty without one',
    model           LowCardinality(String) COMMENT 'data.model; empty where it is absent or no text',
    tool_name       LowCardinality(String) COMMENT 'data.tool_name, likewise',
    tool_call_id    String COMMENT 'data.tool_call_id, likewise: the same in all events of one call',
    error_code      LowCardinality(String) COMMENT 'data.error_code as text; empty where it is absent',
    producer_id     LowCardinality(String) COMMENT 'who numbered the event; empty for nobody',
    seq             Nullable(UInt64) COMMENT 'the producer''s number of the event; a missing one is a lost event',
    input_tokens    Nullable(UInt64) COMMENT 'data.input_tokens, or that of data.token_usage',
    output_tokens   Nullable(UInt64) COMMENT 'data.output_tokens, likewise',
    total_tokens    Nullable(UInt64) COMMENT 'data.total_tokens, likewise',
    cost_usd        Nullable(Decimal(38, 18)) COMMENT 'data.cost_usd, likewise: US dollars, exact; NULL is unknown, never 0',
    duration_ms     Nullable(Float64) COMMENT 'data.duration_ms, likewise: milliseconds',
    schema_version  UInt16 COMMENT 'of the record',
    record          String COMMENT 'the exact bytes of the event: JSON; every column above says what they say',
    data            String COMMENT 'what happened, as JSON text, for JSONExtractString(data, ''key''); numbers beyond 64 bits are text here',
    record_key      FixedString(16) COMMENT 'first half of sha256(record): tells it from every other',
    kafka_cluster   LowCardinality(String) COMMENT 'where it stood: the cluster''s id',
    kafka_topic     LowCardinality(String) COMMENT 'the topic',
    kafka_topic_id  LowCardinality(String) COMMENT 'the topic''s id, another one if it was made anew',
    kafka_partition UInt16 COMMENT 'the partition; all of a session stands in one',
    kafka_offset    UInt64 COMMENT 'the offset: append order within the partition',
    appended_at     DateTime64(3, 'UTC') COMMENT 'when Kafka took it, by the broker''s clock; the end of 2299 where the record carries its sender''s'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    session_id, tenant_id, event_id, type, run_id, parent_run_id, agent_id, occurred_at, occurred_us,
    actor_type, actor_id, provider, correlation_id, trace_id, model, tool_name, tool_call_id, error_code,
    producer_id, seq,
    input_tokens, output_tokens, total_tokens, cost_usd, duration_ms, schema_version,
    record, JSONExtractRaw(record, 'data') AS data, record_key,
    kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, appended_at
FROM {database}.event_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1,
    use_skip_indexes_if_final = 1
COMMENT 'Every event once, with its record.';

-- A run is (tenant, session, run). Of two ending events the later decides, and of two at the same time the larger key.
CREATE OR REPLACE VIEW {database}.runs
(
    tenant_id       LowCardinality(String) COMMENT 'the tenant; empty without one',
    session_id      String COMMENT 'the session',
    run_id          String COMMENT 'the run; told from others by tenant, session and run together',
    parent_run_id   String COMMENT 'the run that started it, by its first event that names one; empty without one',
    agent_id        LowCardinality(String) COMMENT 'the agent, by its first event that names one; empty without one',
    status          LowCardinality(String) COMMENT 'running, completed, failed, cancelled, timeout or abandoned: what its last ending event says',
    started_at      DateTime64(6, 'UTC') COMMENT 'when its first event occurred',
    last_event_at   DateTime64(6, 'UTC') COMMENT 'when its last event occurred',
    ended_at        Nullable(DateTime64(6, 'UTC')) COMMENT 'when the ending event occurred that gives the status; NULL while it is running',
    error_code      LowCardinality(String) COMMENT 'of that ending event; empty without one',
    events          UInt64 COMMENT 'its events, each once',
    tool_calls      UInt64 COMMENT 'of these: tool_call_started',
    updated_input_tokens    Nullable(UInt128) COMMENT 'first book, token_usage_updated and model calls: the sum; NULL where none says',
    updated_output_tokens   Nullable(UInt128) COMMENT 'first book, likewise',
    updated_cost_usd        Nullable(Decimal(76, 18)) COMMENT 'first book, likewise: US dollars, exact',
    updated_unpriced        UInt64 COMMENT 'first book: its events without a cost',
    completed_input_tokens  Nullable(UInt128) COMMENT 'second book, what run_completed repeats: never add it to the first',
    completed_output_tokens Nullable(UInt128) COMMENT 'second book, likewise',
    completed_cost_usd      Nullable(Decimal(76, 18)) COMMENT 'second book, likewise: US dollars, exact',
    completed_unpriced      UInt64 COMMENT 'second book: its events without a cost'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    us -> fromUnixTimestamp64Micro(least(greatest(us, -2208988800000000), 10413791999999999), 'UTC') AS time_of,
    type = 'token_usage_updated' OR (type IN ('model_call_completed', 'model_call_failed')
        AND (isNotNull(input_tokens) OR isNotNull(output_tokens) OR isNotNull(total_tokens) OR isNotNull(cost_usd))) AS is_update,
    ['run_completed', 'run_failed', 'run_cancelled', 'run_timeout', 'run_abandoned'] AS endings,
    ['completed', 'failed', 'cancelled', 'timeout', 'abandoned'] AS outcomes,
    has(endings, type) AS is_ending,
    argMaxIf((toString(type), toString(event.error_code)), (occurred_us, record_key), is_ending) AS ending
SELECT
    tenant_id, session_id, run_id,
    argMinIf(event.parent_run_id, (occurred_us, record_key), event.parent_run_id != '') AS parent_run_id,
    CAST(argMinIf(event.agent_id, (occurred_us, record_key), event.agent_id != ''), 'LowCardinality(String)') AS agent_id,
    CAST(transform(tupleElement(ending, 1), endings, outcomes, 'running'), 'LowCardinality(String)') AS status,
    time_of(min(occurred_us)) AS started_at,
    time_of(max(occurred_us)) AS last_event_at,
    if(countIf(is_ending) = 0, NULL, time_of(maxIf(occurred_us, is_ending))) AS ended_at,
    CAST(tupleElement(ending, 2), 'LowCardinality(String)') AS error_code,
    count() AS events,
    countIf(type = 'tool_call_started') AS tool_calls,
    sumIf(toUInt128(input_tokens), is_update) AS updated_input_tokens,
    sumIf(toUInt128(output_tokens), is_update) AS updated_output_tokens,
    sumIf(toDecimal256(cost_usd, 18), is_update) AS updated_cost_usd,
    countIf(is_update AND isNull(cost_usd)) AS updated_unpriced,
    sumIf(toUInt128(input_tokens), type = 'run_completed') AS completed_input_tokens,
    sumIf(toUInt128(output_tokens), type = 'run_completed') AS completed_output_tokens,
    sumIf(toDecimal256(cost_usd, 18), type = 'run_completed') AS completed_cost_usd,
    countIf(type = 'run_completed' AND isNull(cost_usd)) AS completed_unpriced
FROM {database}.event_index AS event FINAL
WHERE run_id != ''
GROUP BY tenant_id, session_id, run_id
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'Every run: its agent, its outcome, and its two books of usage.';

-- A session is (tenant, session).
CREATE OR REPLACE VIEW {database}.sessions
(
    tenant_id       LowCardinality(String) COMMENT 'the tenant; empty without one',
    session_id      String COMMENT 'the session; told from others by tenant and session together',
    agent_ids       Array(String) COMMENT 'the agents that its events name, in the order of their names',
    status          LowCardinality(String) COMMENT 'created, started, paused, resumed, completed, failed or cancelled: what its last session_… event says; empty without one',
    started_at      DateTime64(6, 'UTC') COMMENT 'when its first event occurred',
    last_event_at   DateTime64(6, 'UTC') COMMENT 'when its last event occurred',
    runs            UInt64 COMMENT 'its runs',
    events          UInt64 COMMENT 'its events, each once',
    tool_calls      UInt64 COMMENT 'of these: tool_call_started',
    errors          UInt64 COMMENT 'of these: error_occurred, and every type that ends in _failed',
    updated_cost_usd        Nullable(Decimal(76, 18)) COMMENT 'first book, token_usage_updated and model calls: US dollars, exact; NULL where none says',
    updated_unpriced        UInt64 COMMENT 'first book: its events without a cost',
    completed_cost_usd      Nullable(Decimal(76, 18)) COMMENT 'second book, what run_completed repeats: never add it to the first',
    completed_unpriced      UInt64 COMMENT 'second book: its events without a cost'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    us -> fromUnixTimestamp64Micro(least(greatest(us, -2208988800000000), 10413791999999999), 'UTC') AS time_of,
    type = 'token_usage_updated' OR (type IN ('model_call_completed', 'model_call_failed')
        AND (isNotNull(input_tokens) OR isNotNull(output_tokens) OR isNotNull(total_tokens) OR isNotNull(cost_usd))) AS is_update,
    ['session_created', 'session_started', 'session_paused', 'session_resumed', 'session_completed', 'session_failed',
        'session_cancelled'] AS changes,
    argMaxIf(toString(type), (occurred_us, record_key), has(changes, type)) AS last_change
SELECT
    tenant_id, session_id,
    arraySort(groupUniqArrayIf(agent_id, agent_id != '')) AS agent_ids,
    CAST(replaceOne(last_change, 'session_', ''), 'LowCardinality(String)') AS status,
    time_of(min(occurred_us)) AS started_at,
    time_of(max(occurred_us)) AS last_event_at,
    uniqExactIf(run_id, run_id != '') AS runs,
    count() AS events,
    countIf(type = 'tool_call_started') AS tool_calls,
    countIf(type = 'error_occurred' OR endsWith(type, '_failed')) AS errors,
    sumIf(toDecimal256(cost_usd, 18), is_update) AS updated_cost_usd,
    countIf(is_update AND isNull(cost_usd)) AS updated_unpriced,
    sumIf(toDecimal256(cost_usd, 18), type = 'run_completed') AS completed_cost_usd,
    countIf(type = 'run_completed' AND isNull(cost_usd)) AS completed_unpriced
FROM {database}.event_index AS event FINAL
GROUP BY tenant_id, session_id
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'Every session: its runs, its events and its two books of cost.';

-- Every event with tokens or a cost, and each of the two types that keep a book, with or without.
CREATE OR REPLACE VIEW {database}.token_usage
(
    occurred_at     DateTime64(6, 'UTC') COMMENT 'when it happened, by the producer''s clock, within the years 1900 to 2299',
    occurred_us     Int64 COMMENT 'the same in microseconds since 1970 UTC, exact for years 1 to 9999',
    tenant_id       LowCardinality(String) COMMENT 'the tenant; empty without one',
    session_id      String COMMENT 'the session',
    run_id          String COMMENT 'the run; empty without one',
    agent_id        LowCardinality(String) COMMENT 'the agent; empty without one',
    actor_type      LowCardinality(String) COMMENT 'person, agent or service on whose behalf; empty without one',
    actor_id        String COMMENT 'who that is; empty without one',
    type            LowCardinality(String) COMMENT 'of the event',
    book            LowCardinality(String) COMMENT 'updated: token_usage_updated and model calls; completed: what run_completed repeats; other: neither. Sum one book, never two',
    provider        LowCardinality(String) COMMENT 'of the model; empty without one',
    model           LowCardinality(String) COMMENT 'the model; empty without one',
    input_tokens    Nullable(UInt64) COMMENT 'tokens read; NULL is unknown, never 0',
    output_tokens   Nullable(UInt64) COMMENT 'tokens written, likewise',
    total_tokens    Nullable(UInt64) COMMENT 'both, where the provider says it',
    cost_usd        Nullable(Decimal(38, 18)) COMMENT 'US dollars, exact; NULL is unknown, never 0',
    duration_ms     Nullable(Float64) COMMENT 'milliseconds',
    record_key      FixedString(16) COMMENT 'first half of sha256(record): finds the event'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    fromUnixTimestamp64Micro(least(greatest(occurred_us, -2208988800000000), 10413791999999999), 'UTC') AS occurred_at,
    occurred_us, tenant_id, session_id, run_id, agent_id, actor_type, actor_id, type,
    CAST(transform(toString(type), ['token_usage_updated', 'model_call_completed', 'model_call_failed', 'run_completed'],
        ['updated', 'updated', 'updated', 'completed'], 'other'),
        'LowCardinality(String)') AS book,
    provider, model, input_tokens, output_tokens, total_tokens, cost_usd, duration_ms, record_key
FROM {database}.event_usage FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'Every event with tokens or a cost, by book.';

-- The events of one call share its id, within a run. Models use an id again: then an end belongs to the last start before it.
-- An event without an id is a call of its own.
CREATE OR REPLACE VIEW {database}.tool_calls
(
    tenant_id       LowCardinality(String) COMMENT 'the tenant; empty without one',
    session_id      String COMMENT 'the session',
    run_id          String COMMENT 'the run; empty without one',
    tool_call_id    String COMMENT 'the call; empty where its one event names none',
    tool_name       LowCardinality(String) COMMENT 'the tool, by the first of its events that names one',
    agent_id        LowCardinality(String) COMMENT 'the agent, likewise',
    status          LowCardinality(String) COMMENT 'completed or failed: what its last ending event says; open without one',
    started_at      Nullable(DateTime64(6, 'UTC')) COMMENT 'when tool_call_started occurred; NULL where there is none',
    ended_at        Nullable(DateTime64(6, 'UTC')) COMMENT 'when the event occurred that gives the status; NULL while it is open',
    elapsed_ms      Nullable(Float64) COMMENT 'from the one to the other, in milliseconds',
    duration_ms     Nullable(Float64) COMMENT 'what the ending event says of it, in milliseconds',
    error_code      LowCardinality(String) COMMENT 'of the ending event; empty without one',
    events          UInt64 COMMENT 'its events, each once',
    first_us        Int64 COMMENT 'when the first of its events occurred, in microseconds since 1970 UTC'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    us -> fromUnixTimestamp64Micro(least(greatest(us, -2208988800000000), 10413791999999999), 'UTC') AS time_of,
    arrayJoin(arraySplit(event -> NOT event.is_end, events_of_id)) AS call
SELECT
    tenant_id, session_id, run_id, tool_call_id,
    CAST(arrayFirst(event -> event.tool_name != '', call).tool_name, 'LowCardinality(String)') AS tool_name,
    CAST(arrayFirst(event -> event.agent_id != '', call).agent_id, 'LowCardinality(String)') AS agent_id,
    CAST(multiIf(NOT call[-1].is_end, 'open', call[-1].is_failed, 'failed', 'completed'), 'LowCardinality(String)') AS status,
    if(call[1].is_end, NULL, time_of(call[1].occurred_us)) AS started_at,
    if(call[-1].is_end, time_of(call[-1].occurred_us), NULL) AS ended_at,
    if(call[1].is_end OR NOT call[-1].is_end, NULL, (call[-1].occurred_us - call[1].occurred_us) / 1000) AS elapsed_ms,
    if(call[-1].is_end, call[-1].duration_ms, NULL) AS duration_ms,
    CAST(if(call[-1].is_end, call[-1].error_code, ''), 'LowCardinality(String)') AS error_code,
    length(call) AS events,
    call[1].occurred_us AS first_us
FROM
(
    SELECT
        tenant_id, session_id, run_id, tool_call_id,
        arraySort(groupArray(CAST(
            (occurred_us, type != 'tool_call_started', record_key, type = 'tool_call_failed', tool_name, agent_id, error_code,
                duration_ms),
            'Tuple(occurred_us Int64, is_end Bool, record_key FixedString(16), is_failed Bool, tool_name String,
                agent_id String, error_code String, duration_ms Nullable(Float64))'
        ))) AS events_of_id
    FROM {database}.event_index FINAL
    WHERE type IN ('tool_call_started', 'tool_call_completed', 'tool_call_failed')
    GROUP BY tenant_id, session_id, run_id, tool_call_id, if(tool_call_id = '', record_key, toFixedString('', 16))
)
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1
COMMENT 'Every tool call: its events paired by tool_call_id.';

-- Request and answer share an approval_id, or else the call's id, within a run; where it is used again, an answer belongs
-- to the last request before it, and a call to the last one before it, if there is any. Small columns say which events these are,
-- and their records follow by the log's key; copies change nothing here, so nothing is merged to read them.
CREATE OR REPLACE VIEW {database}.approvals
(
    tenant_id       LowCardinality(String) COMMENT 'the tenant; empty without one',
    session_id      String COMMENT 'the session',
    run_id          String COMMENT 'the run; empty without one',
    approval_id     String COMMENT 'data.approval_id, or else the call''s id; empty where the one event names neither',
    tool_call_id    String COMMENT 'the call that was to be approved; empty where nobody names it',
    tool_name       LowCardinality(String) COMMENT 'the tool, by the first of its events that names one',
    agent_id        LowCardinality(String) COMMENT 'the agent that asked, likewise',
    policy_name     String COMMENT 'the policy that asks, likewise',
    status          LowCardinality(String) COMMENT 'granted or denied: what the last answer says; open without one',
    requested_at    Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was asked for; NULL where nobody asked',
    answered_at     Nullable(DateTime64(6, 'UTC')) COMMENT 'when the last answer occurred; NULL while it is open',
    answer_ms       Nullable(Float64) COMMENT 'from the one to the other, in milliseconds',
    answered_by_type String COMMENT 'of the last answer: data.approver.type, or else its actor''s',
    answered_by     String COMMENT 'of the last answer: data.approver.id, or else its actor''s',
    reason          String COMMENT 'of the last answer, in the approver''s words',
    answers         UInt64 COMMENT 'how many answers there are; more than one may contradict each other',
    called_at       Nullable(DateTime64(6, 'UTC')) COMMENT 'when the call was started first; NULL where it never was',
    ran_ungranted   Bool COMMENT 'whether the call was started though the last answer by then was no grant',
    first_us        Int64 COMMENT 'when the first of its events occurred, in microseconds since 1970 UTC'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH
    us -> fromUnixTimestamp64Micro(least(greatest(us, -2208988800000000), 10413791999999999), 'UTC') AS time_of,
    arrayFilter(us -> us >= first_us AND us < until_us, called.starts) AS next_calls,
    if(empty(next_calls) AND is_first, arraySlice(arrayFilter(us -> us < first_us, called.starts), -1), next_calls) AS calls,
    asked_and_answered AS
    (
        SELECT DISTINCT
            tenant_id, session_id, run_id, tool_call_id, tool_name, agent_id, type, occurred_us, record_key,
            JSONExtractString(record, 'data', 'approval_id') AS named,
            if(named = '', tool_call_id, named) AS approval_id,
            JSONExtractString(record, 'data', 'policy_name') AS policy_name,
            JSONExtractString(record, 'data', 'reason') AS reason,
            JSONExtractString(record, 'data', 'approver', 'id') AS approver_id,
            if(approver_id = '', (toString(actor_type), actor_id),
                (JSONExtractString(record, 'data', 'approver', 'type'), approver_id)) AS answered_by,
            type = 'tool_approval_requested' AS is_request,
            if(approval_id = '', record_key, toFixedString('', 16)) AS alone
        FROM {database}.event_log
        WHERE type IN ('tool_approval_requested', 'tool_approval_granted', 'tool_approval_denied')
            AND (session_id, tenant_id, occurred_us) IN (
                SELECT session_id, tenant_id, occurred_us FROM {database}.event_index
                WHERE type IN ('tool_approval_requested', 'tool_approval_granted', 'tool_approval_denied')
            )
    ),
    numbered AS
    (
        SELECT *, countIf(is_request) OVER (
            PARTITION BY tenant_id, session_id, run_id, approval_id, alone ORDER BY occurred_us, NOT is_request, record_key
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS nth
        FROM asked_and_answered
    ),
    paired AS
    (
        WITH (event.occurred_us, NOT event.is_request, event.record_key) AS place
        SELECT
            tenant_id, session_id, run_id, approval_id, alone, nth,
            argMinIf(event.tool_call_id, place, event.tool_call_id != '') AS tool_call_id,
            argMinIf(event.tool_name, place, event.tool_name != '') AS tool_name,
            argMinIf(event.agent_id, place, event.agent_id != '') AS agent_id,
            argMinIf(event.policy_name, place, event.policy_name != '') AS policy_name,
            countIf(is_request) AS requests,
            minIf(event.occurred_us, is_request) AS requested_us,
            min(event.occurred_us) AS first_us,
            argMaxIf((toString(event.type), event.occurred_us, event.answered_by, event.reason), place,
                NOT is_request) AS answer,
            arraySort(groupArrayIf((event.occurred_us, event.record_key, event.type = 'tool_approval_granted'),
                NOT is_request)) AS answered
        FROM numbered AS event
        GROUP BY tenant_id, session_id, run_id, approval_id, alone, nth
    ),
    approval AS
    (
        SELECT
            *,
            row_number() OVER neighbours = 1 AS is_first,
            leadInFrame(first_us, 1, 9223372036854775807) OVER neighbours AS until_us
        FROM paired
        WINDOW neighbours AS (
            PARTITION BY tenant_id, session_id, run_id, approval_id, alone ORDER BY nth
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
    ),
    called AS
    (
        SELECT tenant_id, session_id, run_id, tool_call_id, arraySort(groupArray(occurred_us)) AS starts
        FROM {database}.event_index
        WHERE type = 'tool_call_started' AND tool_call_id != ''
            AND (tenant_id, session_id, run_id, tool_call_id) IN (
                SELECT tenant_id, session_id, run_id, tool_call_id FROM asked_and_answered
            )
        GROUP BY tenant_id, session_id, run_id, tool_call_id
    )
SELECT
    approval.tenant_id AS tenant_id, approval.session_id AS session_id, approval.run_id AS run_id,
    approval.approval_id AS approval_id, approval.tool_call_id AS tool_call_id,
    CAST(approval.tool_name, 'LowCardinality(String)') AS tool_name,
    CAST(approval.agent_id, 'LowCardinality(String)') AS agent_id,
    approval.policy_name AS policy_name,
    CAST(transform(tupleElement(answer, 1), ['tool_approval_granted', 'tool_approval_denied'], ['granted', 'denied'],
        'open'), 'LowCardinality(String)') AS status,
    if(requests = 0, NULL, time_of(requested_us)) AS requested_at,
    if(empty(answered), NULL, time_of(tupleElement(answer, 2))) AS answered_at,
    if(requests = 0 OR empty(answered), NULL, (tupleElement(answer, 2) - requested_us) / 1000) AS answer_ms,
    tupleElement(tupleElement(answer, 3), 1) AS answered_by_type,
    tupleElement(tupleElement(answer, 3), 2) AS answered_by,
    tupleElement(answer, 4) AS reason,
    length(answered) AS answers,
    if(empty(calls), NULL, time_of(calls[1])) AS called_at,
    CAST(notEmpty(calls) AND NOT tupleElement(arrayLast(given -> tupleElement(given, 1) <= calls[1], answered), 3),
        'Bool') AS ran_ungranted,
    first_us
FROM approval LEFT JOIN called USING (tenant_id, session_id, run_id, tool_call_id)
SETTINGS join_use_nulls = 0
COMMENT 'Every approval: what was asked, who answered, how quickly, and whether the call ran anyway.';

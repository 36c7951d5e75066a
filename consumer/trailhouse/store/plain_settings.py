"""ClickHouse's own defaults of settings that change answers: what a statement of ours says is what it means.

Who administers ClickHouse can give a user, a role, a profile or the owner of a view other settings than ClickHouse has
by itself, and with them other answers to the same statement. A rule, and no list of those that are known to harm:
every setting that is not one of limits, resources or logging stands at ClickHouse's default in each statement of ours.
What cuts an answer short is named, since it could hide the others from whoever asks which these are, and since a
view's owner can have it without us; the others are asked for when a connection is made. `additional_table_filters` is
left as it is: like a row policy it says which rows somebody may see.
"""

from collections.abc import Mapping
from types import MappingProxyType

from clickhouse_connect.driver.httpclient import HttpClient

ALWAYS: Mapping[str, str] = MappingProxyType(
    {
        "compatibility": "",
        "dialect": "clickhouse",
        "limit": "0",
        "offset": "0",
        "page": "0",
        "filter": "",
        "select": "",
        "order": "",
        "sort": "",
        "additional_result_filter": "",
        "apply_deleted_mask": "1",
        "apply_patch_parts": "1",
        "final": "0",
        "use_query_cache": "0",
        "transform_null_in": "0",
        "join_use_nulls": "0",
        "group_by_use_nulls": "0",
        "aggregate_functions_null_for_empty": "0",
        "prefer_column_name_to_alias": "0",
        "session_timezone": "",
        "parallel_replicas_count": "0",
        "parallel_replica_offset": "0",
    }
    | {
        f"{what}_overflow_mode": "throw"
        for what in ("read", "result", "timeout", "sort", "distinct", "set", "join", "group_by")
    }
    | {"read_overflow_mode_leaf": "throw", "transfer_overflow_mode": "throw"}
)
"""Sent with every statement."""

_NO_ANSWER = (
    "(max|min|log|network|http|tcp|send|receive|connect|handshake|idle|sleep|poll|interactive|query_profiler"
    "|s3|azure|hdfs|storage|filesystem|local_filesystem|remote|page_cache|merge_tree|distributed_cache|backup"
    "|memory|os|opentelemetry|async_insert|wait_for_async_insert|insert_quorum|insert_keeper|keeper|lock|alter"
    "|mutations|replication|queue|load_balancing|trace|metrics|iceberg|kafka|rabbitmq|stream|database_atomic"
    "|database_replicated|distributed_ddl|background|async_socket"
    "|query_metric|reader_executor|temporary)_.*"
    "|readonly|database|additional_table_filters|priority|workload|load_balancing|insert_quorum"
    "|insert_distributed_sync|use_uncompressed_cache"
    "|use_concurrency_control|allow_ddl|allow_introspection_functions|allow_settings_after_format_in_insert"
    "|select_sequential_consistency|prefer_localhost_replica|fallback_to_stale_replicas_for_distributed_queries"
    "|cancel_http_readonly_queries_on_client_close|wait_end_of_query|buffer_size|async_insert|alter_sync"
    "|enable_http_compression|add_http_cors_header|quota_key|password|user|use_client_time_zone"
    "|materialize_statistics_on_insert.*|(ignore|force)_data_skipping_indices"  # an empty list of these is refused
)
"""Names of settings of limits, resources, logging and inserts, as a regular expression."""
_BUT = "max_skip_unavailable_shards_.*"

CHANGES_ANSWERS = f"(NOT match(name, '^({_NO_ANSWER})$') OR match(name, '^({_BUT})$'))"
"""A condition on `name`, of whatever table names settings."""

CHANGED_SQL = f"""
    SELECT name, default, readonly FROM system.settings
    WHERE value != default AND NOT is_obsolete AND {CHANGES_ANSWERS} ORDER BY name
"""  # noqa: S608 - names of ours
"""Names, defaults, and whether who asks may not change them, of what changes answers and is not at its default."""


def ask_plainly(client: HttpClient) -> None:
    """Have every further statement of *client* run under ClickHouse's own defaults, but for limits and resources.

    What the user may not change stays as it is; where it is one of `ALWAYS`, ClickHouse refuses every statement.

    Raises:
        Exception: What clickhouse-connect raises.
    """
    # Not by its `set_client_setting`: that goes by what the server said before any of this was sent.
    client.params.update(ALWAYS)
    changed = client.query(CHANGED_SQL).result_rows
    client.params.update({name: default for name, default, is_fixed in changed if not is_fixed})

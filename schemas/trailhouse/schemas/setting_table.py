"""The table of settings: every name that there is, whichever part of Trailhouse declares it.

A process has some of the parts; it knows the names of all, so that it can tell a mistake from another part's setting.
"""

from collections.abc import Mapping

SETTING_KEYS: Mapping[str, tuple[str, ...]] = {
    section: tuple(keys.split())
    for section, keys in {
        "clickhouse": """
            url user password database timeout_seconds async_insert ssl_ca_location ssl_certificate_location
            ssl_key_location ssl_key_password allow_unencrypted_credentials""",
        "kafka": """
            bootstrap_servers topic partitions replication retention_hours security_protocol
            sasl_mechanism sasl_username sasl_password sasl_oauthbearer_token_endpoint_url
            sasl_oauthbearer_client_id sasl_oauthbearer_client_secret sasl_oauthbearer_scope
            sasl_oauthbearer_extensions sasl_oauthbearer_ca_location ssl_ca_location
            ssl_certificate_location ssl_key_location ssl_key_password allow_unencrypted_credentials""",
        "producer": """
            enabled service tenant_id max_event_bytes mode on_unencodable spool_dir spool_bytes
            spool_segment_bytes fsync fsync_interval_seconds queue_events queue_bytes
            queue_timeout_seconds linger_seconds close_timeout_seconds seal_key_file seal_seconds
            seal_events""",
        "redaction": "enabled mode pii patterns_file allow key",
        "content": "level by_type",
        "worker": """
            group_id batch_rows batch_bytes freshness_seconds max_record_bytes web_host web_port
            drain_seconds max_bad_share max_bad_rows session_timeout_seconds watchdog_seconds on_gap
            account_seconds""",
        "reader": "budget_seconds cursor_secret",
        "access": "tokens_file audit_reads",
        "api": """
            host port ssl_certificate_location ssl_key_location requests_per_minute concurrent_requests
            bytes_per_minute""",
        "proof": """
            log_name key_file sign_command public_key owner_key policy_file anchors anchor_seconds timestamp_urls
            witness_urls""",
    }.items()
}
"""The keys of each section, in the order of the README."""

SECRET_KEYS = frozenset({
    ("clickhouse", "password"),
    ("clickhouse", "ssl_key_password"),
    ("kafka", "sasl_oauthbearer_client_secret"),
    ("kafka", "sasl_password"),
    ("kafka", "ssl_key_password"),
    ("reader", "cursor_secret"),
    ("redaction", "key"),
})  # fmt: skip
"""Section and key of each secret: it may be read from a file that a variable of its own names."""

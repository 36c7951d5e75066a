"""Rows as ClickHouse has them: read once, held against their records, and matched with leaves."""

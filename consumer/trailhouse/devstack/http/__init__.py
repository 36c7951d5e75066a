"""ClickHouse's HTTP interface: requests, answers, compression and sessions."""

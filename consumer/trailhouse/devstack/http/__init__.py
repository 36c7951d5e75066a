"""ClickHouse's HTTP interface: requests, answers, compression, and the statements that they carry."""

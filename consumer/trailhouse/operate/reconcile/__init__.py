"""Kafka, the ledger and the tables compared, offset by offset and byte by byte."""

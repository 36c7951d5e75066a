"""Duty 12, the batch ledger, and its part."""

"""Duty 4, the records, and its parts."""

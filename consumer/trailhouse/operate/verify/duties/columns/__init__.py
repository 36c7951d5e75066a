"""Duty 6, the columns, and its parts."""

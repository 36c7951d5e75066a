"""Duty 13, the erasures, and its parts."""

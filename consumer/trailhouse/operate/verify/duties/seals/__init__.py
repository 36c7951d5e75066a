"""Duty 9, the seals, and its parts."""

"""Duty 3, the leaves, and its parts."""

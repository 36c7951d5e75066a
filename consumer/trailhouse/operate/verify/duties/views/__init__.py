"""Duty 8, tables, views and policies, and its parts."""

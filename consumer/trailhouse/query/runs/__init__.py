"""Runs, sessions, and what they cost."""

"""Redaction: what is secret in an event is taken out before a copy of the event exists."""

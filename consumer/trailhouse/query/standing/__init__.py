"""The standing of events that were read: who stands behind each."""

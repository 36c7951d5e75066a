"""Attesting: which stored events the seals of enrolled services name, worked out beside the worker, for readers."""

__all__: list[str] = []

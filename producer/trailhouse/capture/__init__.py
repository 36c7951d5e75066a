"""Capture: one module for each framework, whose `install` has everything its agents do recorded."""

__all__: list[str] = []

"""Duty 2, the anchors, and its parts."""

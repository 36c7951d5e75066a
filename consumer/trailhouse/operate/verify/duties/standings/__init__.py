"""Duty 15, what readers are shown of seals and standings, and its parts."""

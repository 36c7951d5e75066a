"""Proof: the formats by which an outsider checks the log: trees, checkpoints, policies, anchors, seals. Pure."""

from trailhouse.schemas.errors import ConfigError, ProofError, SigningError, TrailhouseError

__all__ = ["ConfigError", "ProofError", "SigningError", "TrailhouseError"]

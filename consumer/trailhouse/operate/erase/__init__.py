"""Erasure: what a person's records are, an operator's order for them, blank rows, and a certificate; legal holds."""

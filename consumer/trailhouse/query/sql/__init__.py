"""One SELECT of a reader's own, checked before it is sent."""

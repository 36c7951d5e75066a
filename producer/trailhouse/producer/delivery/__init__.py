"""From a call of `log` to the broker: numbered, queued, sent, acknowledged."""

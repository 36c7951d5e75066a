"""What a worker shows of itself, and how it asks beside its work: health, metrics, watchdog, background queries."""

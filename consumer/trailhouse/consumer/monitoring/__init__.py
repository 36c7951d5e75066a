"""What a worker shows of itself: health, metrics, and the watchdog with its heartbeat."""

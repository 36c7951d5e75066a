"""Everything that speaks Kafka, but for the worker's membership in its group and the producer's sender."""

__all__: list[str] = []

"""One membership in the consumer group: what is assigned, where it begins, read, store, commit."""

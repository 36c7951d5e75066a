"""The log of each partition: its tree, its leaves and nodes in ClickHouse, and its signed checkpoints."""

"""Where anchors are written to: a folder, a repository of git, a topic of another Kafka."""

__all__: list[str] = []

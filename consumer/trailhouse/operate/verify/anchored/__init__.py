"""What anchors say: those stored in ClickHouse, and the copies that others keep."""

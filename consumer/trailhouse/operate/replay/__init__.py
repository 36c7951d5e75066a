"""Reading a range of the topic again into ClickHouse."""

"""The fifteen duties, each with the parts that it alone needs."""

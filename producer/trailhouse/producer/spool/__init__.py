"""The spool: events in files, until the broker has them."""

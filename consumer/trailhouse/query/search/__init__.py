"""Pages, counts and figures of the events of all sessions."""

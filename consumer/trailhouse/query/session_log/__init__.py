"""The log of one session: its order, its records, its outline."""

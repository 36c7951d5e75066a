"""What is wanted: a filter, its text, and the conditions that SQL is given."""

"""Keys and policies: of the log, its owner, services, operators and witnesses; made, put into force, closed."""

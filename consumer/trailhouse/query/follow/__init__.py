"""`AuditReader.follow`: events as they are stored, each once, from wherever a token says."""

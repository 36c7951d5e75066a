"""`AuditReader.export`: what a filter finds, as files that can be checked without us."""

"""What commands write: lines, tables, CSV and JSON, safe for a terminal."""

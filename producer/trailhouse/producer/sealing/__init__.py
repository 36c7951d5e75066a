"""Sealing: a logger whose service has a key says by signed events which records it has made."""

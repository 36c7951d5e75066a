"""Benchmarks: each prints machine, versions and medians, and checks that every row arrived."""

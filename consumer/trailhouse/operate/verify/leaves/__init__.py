"""Leaves as ClickHouse has them: read once, and made into roots, sums and holes for every duty."""

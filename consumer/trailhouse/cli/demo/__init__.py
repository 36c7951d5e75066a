"""`trailhouse demo`: recorded runs through the whole pipeline, compared at the end."""

"""`trailhouse proof`: the log's key, its owner's policy, and who may seal, order and cosign."""

"""`trailhouse prove` and bundles: what an outsider needs to check events and sessions without us; and manifests."""

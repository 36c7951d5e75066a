"""Records that cannot be read, or that kill who reads them: found, written down, passed over."""

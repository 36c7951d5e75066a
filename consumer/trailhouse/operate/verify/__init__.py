"""`trailhouse verify`: what is stored held against what was signed, duty by duty."""

"""`trailhouse emit`: lines of text become events, each once, however often it is run."""

"""Citations: which passages a message's sentences rest on, and whether the passages say so."""

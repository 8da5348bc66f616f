"""The services that tools ask, one module each: what is sent, and what comes back as plain values."""

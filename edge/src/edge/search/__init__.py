"""Search over a tenant's documents."""

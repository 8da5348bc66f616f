"""Documents in Postgres: their passages, words and embeddings, each tenant's apart."""

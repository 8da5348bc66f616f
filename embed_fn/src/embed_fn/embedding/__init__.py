"""From texts to vectors: batches, the cache, the models."""

"""`Idempotency-Key`: a request that is sent again gets the answer of the first, and nothing is done twice."""

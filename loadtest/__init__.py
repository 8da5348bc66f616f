"""Load tests: the benchmark that measures the platform against the bare model server."""

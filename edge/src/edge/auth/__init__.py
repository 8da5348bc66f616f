"""Who calls: API keys, checked before anything else is done for a request."""

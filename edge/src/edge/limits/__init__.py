"""Nobody takes more than their share: rate limits, token limits, runs at once, and the queue in front of runs."""

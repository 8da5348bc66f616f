"""What has been done: calls with side effects, each of which runs once."""

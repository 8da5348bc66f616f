"""The run engine: executes runs, keeps their logs, and follows them from any replica."""

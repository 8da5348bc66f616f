"""What every Dormouse process shares: gRPC server and channels, identity, errors, logs, telemetry, metrics."""

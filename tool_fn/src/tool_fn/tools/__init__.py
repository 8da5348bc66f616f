"""The built-in tools: one module each, found by the registry. Nothing else has to change for a new one."""

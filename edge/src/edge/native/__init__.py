"""Dormouse's own API: agents, threads, runs and their events."""

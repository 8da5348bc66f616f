"""Transcripts of the agents: what a client asks, what happens, what it gets. python -m loadtest.transcripts"""

"""Measurements of quality: how good what Dormouse finds and answers is, not how fast."""

"""Whether what was measured lets a release pass. Why it decides as it does: docs/adr/the-gate-wants-proof.md."""

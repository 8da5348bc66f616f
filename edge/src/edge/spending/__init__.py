"""Budgets and the ledger: what runs may cost, and what they have cost."""

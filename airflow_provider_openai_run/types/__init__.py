"""Frozen values that every other package shares: runs, references to them, statuses, outcomes."""

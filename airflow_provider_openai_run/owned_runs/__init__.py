"""Runs that a task creates, and therefore owns."""

"""Links from tasks to elsewhere."""

"""When to poll a run again, what to retry and when to stop: decisions without I/O."""

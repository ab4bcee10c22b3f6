"""Asset events for the runs of a thread that end."""

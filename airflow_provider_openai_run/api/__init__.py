"""The requests of each API, and how to read its responses; no I/O."""

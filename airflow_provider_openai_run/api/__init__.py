"""What to send to each API and how to read its answers; no I/O."""

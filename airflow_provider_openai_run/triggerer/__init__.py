"""One watcher for each connection of a triggerer: it asks about all the runs that triggers wait for over it.

All triggers of an event loop that use one connection share one client, one TLS context, one look-up of the
connection, a few keep-alive connections, one schedule and one view of the API's mood. Those that follow the
runs of one thread share one listing of them, too. Import this package off the event loop: it brings the
OpenAI SDK with it.
"""

from __future__ import annotations

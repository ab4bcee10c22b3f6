"""One poller per connection: it sends the requests of all triggers of a triggerer that use the connection.

All triggers of an event loop that use one connection share one client, one TLS context, one lookup of the
connection, a few keep-alive connections, one schedule and one rate limiter. Triggers that follow the runs of
one thread also share one listing of them. Import this package off the event loop: it imports the OpenAI SDK.
"""

from __future__ import annotations

"""Many responses by one task: requests in, a journal of what was created, answers and a manifest out."""

from __future__ import annotations

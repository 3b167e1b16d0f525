"""Log lines: events, answered requests, and how they are written."""

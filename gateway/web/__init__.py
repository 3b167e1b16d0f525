"""Third floor: HTTP in, HTTP out; the only floor that knows our own status codes."""

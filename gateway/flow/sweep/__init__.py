"""Calls that no caller waits for: the sweep of the list, and refreshes."""

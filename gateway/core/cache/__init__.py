"""Stored responses: entries, their versions, and the rules for storing and reusing them."""

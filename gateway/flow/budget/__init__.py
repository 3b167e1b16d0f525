"""Calls to the upstream are few: how one is paid for, and which callers wait."""

"""Decides how a call to the upstream is paid for, and which callers wait until they may call."""

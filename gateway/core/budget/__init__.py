"""The arithmetic of a rate limit: rates, the window, priorities."""

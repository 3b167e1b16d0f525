"""Models of the gateway's rules in virtual time, and searches for a history that breaks them."""

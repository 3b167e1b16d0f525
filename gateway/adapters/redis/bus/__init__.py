"""What replicas tell each other over Redis, and which replicas there are."""

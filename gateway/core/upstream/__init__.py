"""Responses of the upstream: whether one is a training, a page of the list, or a failure."""

"""Responses of the upstream: whether a response is a training, a page of the list, or a failure;
and when the upstream may be called after failures."""

"""What the upstream sent: whether it is a training, a page of the list, or a failure."""

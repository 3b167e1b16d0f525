"""The data plane: trainings, writes and probes."""

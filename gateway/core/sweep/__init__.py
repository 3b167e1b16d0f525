"""The arithmetic of the sweep: the trainings that a page confirms, and the bound on staleness."""

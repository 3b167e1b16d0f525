"""The arithmetic of the sweep: what a page of the list says, and what a sweep promises."""

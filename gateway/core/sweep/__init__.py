"""The arithmetic of the sweep: what a page of the list confirms, and how old responses can be."""

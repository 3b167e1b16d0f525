"""What is counted or read, and the families that a scrape gets."""

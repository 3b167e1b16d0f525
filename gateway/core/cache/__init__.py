"""What is stored: entries, their versions, and the rules by which they may be reused."""

"""What happens to a request, from what it asks to what it is answered."""

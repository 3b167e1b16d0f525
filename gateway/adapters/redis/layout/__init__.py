"""How keys are named, and the bytes that stand there."""

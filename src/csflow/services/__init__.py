"""What csflow does: one verb a file, plain functions with explicit arguments."""

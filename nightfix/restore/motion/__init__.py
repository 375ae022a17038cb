"""Restore: how the camera moved, and what is undone of it."""

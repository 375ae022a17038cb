"""Evaluation: how near restored photos come to the truth."""

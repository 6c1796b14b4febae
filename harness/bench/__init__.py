"""Measurements of what the calls cost, each beside what a program does without them."""

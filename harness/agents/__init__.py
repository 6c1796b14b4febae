"""Runs a real agent framework with a scripted model; its packages live apart from the laboratory's own."""

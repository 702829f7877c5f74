"""Draws the pictures and writes the questions that the built-in model is trained on. Everything follows from a seed."""

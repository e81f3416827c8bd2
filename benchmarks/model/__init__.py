"""The packed model alone."""

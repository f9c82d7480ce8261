"""Where a robot lives."""

"""Where a fleet's texts lie over time while agents work and rest by turns, who waits for them, and what goes why."""

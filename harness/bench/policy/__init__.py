"""Who goes first: the kernel's order of eviction replayed on recorded conversations, beside plain LRU and an oracle."""

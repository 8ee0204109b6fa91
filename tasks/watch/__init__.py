"""Look at bases upstream: what changed, and what that asks for."""

"""Training: from clean photographs to weights. Nothing outside this room imports it."""

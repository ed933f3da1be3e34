"""What local inference servers tell for free. No probe generates a token, or wakes a model that sleeps."""

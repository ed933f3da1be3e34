"""`python -m bench.neighbours`: what one organisation notices of another one that attacks the gateway."""

"""`python -m bench.neighbours`: measures what one organisation notices of another one that attacks the gateway."""

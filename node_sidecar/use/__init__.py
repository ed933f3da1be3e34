"""How much of the machine its owner uses: all use, less what the local servers and the sidecar use."""

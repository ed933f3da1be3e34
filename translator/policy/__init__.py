"""The control plane's policy on organisations, keys and routes: received, stored on disk, and looked up."""

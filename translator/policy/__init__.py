"""What the control plane says about organisations, keys and routes: received, kept on disk, looked up."""

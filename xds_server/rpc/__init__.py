"""Code that all gRPC services of the control plane share: who may call, and the status of a failure."""

"""What every gRPC service of the control plane shares: who may call, and the status of a failure."""

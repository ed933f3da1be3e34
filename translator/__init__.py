"""The translator: checks requests for Envoy, and turns Envoy's log into usage records."""

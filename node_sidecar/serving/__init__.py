"""Answers the gateway's requests from the local inference server."""

"""Reads request bodies: those that take a moment on the loop, all others in processes of their own.

No request, whatever it holds, keeps another waiting: what is read on the loop is bounded by `weight`, the rest
waits in a queue that is fair between keys, and work that comes to nothing is charged to its key.
"""

"""Reads request bodies: short ones on the event loop, all others in processes of their own.

No request can delay another one by its body: what is read on the loop is bounded by `weight`, and the rest waits
in a queue that is fair between keys. CPU time that is spent on refused bodies is charged to their key.
"""

"""No field is lost: every field of every message, with a value that is not its default, on its whole way.

Cases come from the protos' descriptors, so that a new field is tested without being listed. A field that does not
take the whole way stands in a list of exceptions with its reason.
"""

"""No field is lost: every field of every message, with a value other than its default, from end to end.

The cases come from the protos' descriptors, so a new field is tested without being listed. Fields that do not go
all the way are in lists of exceptions, with the reason.
"""

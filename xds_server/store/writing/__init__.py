"""The write side: one locked transaction, and per kind of object the changes it may make."""

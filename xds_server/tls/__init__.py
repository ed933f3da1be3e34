"""The operator's certificate for the clients' and the admin listener: read from files, checked, read again."""

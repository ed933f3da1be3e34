"""The operator's certificate for the clients' and the admin listener: read from files, checked, and read again."""

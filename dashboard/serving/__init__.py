"""Starting the server, and what stands before the pages: hosts, headers, sign-in, errors."""

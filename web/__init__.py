"""The outside: command line, HTTP, chat page and messaging platforms."""

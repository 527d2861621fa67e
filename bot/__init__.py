"""The bot: a question in, an answer made of quoted sentences out."""

"""Bulk work: rows of questions in files, rows of answers out, and going on after a kill.

Nothing here asks a server; ``spanqa answer`` does. docs/bulk.md says what is written when.
"""

"""Performance beside peers: ``python -m bench``. README.md says what is measured and how."""

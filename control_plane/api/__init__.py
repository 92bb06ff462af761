"""The REST interface, one module per audience."""

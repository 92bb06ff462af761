"""The five labs on this machine: one process that speaks the wire of each, as recorded, under its own base path.

A request is checked as the lab checks it and answered with its own errors; the answer follows from the prompt alone.
A test steers speed, length and faults from the prompt, with directives (see directives.py).
"""

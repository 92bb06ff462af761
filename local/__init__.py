"""The whole product on this machine: the local edge, stand-ins for what a machine cannot reach, and their launcher."""

"""The whole product as it runs on one machine, driven from outside."""

"""PayPal on this machine: one process that speaks the wire of its REST APIs, as published, for one merchant.

It takes orders, shows the buyer a page to approve them, captures, refunds and disputes, and delivers signed webhooks.
Tests and people steer it under /simulator (see control.py).
"""

"""What is done by itself while Troupe serves: copies of the database, what is old, the log.

Knows the memory and nothing of who talks. A job is a function and how often; ``Jobs`` keeps the hours.
"""

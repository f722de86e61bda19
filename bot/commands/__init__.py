"""What a command does, once for every platform: connectors translate a platform's form of asking into one of these calls.

A command gets the ``Desk`` (the rooms it may use) and the ``Caller`` (who asks, where, with which rights). It returns values
that read well as text, or raises ``CommandRefused`` with a sentence for the person.
"""

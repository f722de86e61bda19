"""How the tables came to be: one file in ``versions/`` for each change, never edited once released.

To add one, write ``versions/000N_what_it_is_for.py`` with the previous number as ``down_revision`` and ``upgrade()``
only: there is no way back but the copy that is made first. ``bot.memory.upgrade`` runs them.
"""

"""What was said, who was there, who agreed to what, and which replies are on their way.

Everything goes through ``bot.memory.store.Store``. This room owns the database and knows neither platforms nor models;
what it says about the outside are the plain values of ``bot.messages``.
"""

"""Text of many kinds -> structured dialogue. One module a format; ``stage`` is the ``troupe-train extract`` that uses them."""

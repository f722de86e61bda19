"""Finding what fits a turn. Knows texts and ids; knows no database, no model and no platform."""

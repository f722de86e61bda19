"""Words spoken aloud. Knows texts and characters' voices; knows no platform, no database and no model that writes."""

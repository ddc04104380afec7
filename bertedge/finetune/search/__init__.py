"""The search for settings: trials for a number of minutes, and the model of the best."""

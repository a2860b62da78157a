"""`explore`: what a person does, as events; what is looked at, as a value; what is computed of it, by the commands' own
analyses. Nothing here knows a terminal."""

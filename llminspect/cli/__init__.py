"""The command line around the commands: the app, option groups, input and output, schemas, completion."""

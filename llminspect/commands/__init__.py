"""One file per subcommand: Result (the JSON contract), run (computes), render (draws), command (the command line)."""

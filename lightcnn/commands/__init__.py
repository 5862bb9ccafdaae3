"""The command line, a module a command: its options, what it runs, what it shows. What is heavy is imported inside."""

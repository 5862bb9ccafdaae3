"""What people see on the terminal, a module a command: its progress, and the tables at its end. No torch."""

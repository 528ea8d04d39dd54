"""What the program tests share: processes, ports, modes, and scilan's own view of things."""

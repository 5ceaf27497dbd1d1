"""What the user gives -> what the network reads."""

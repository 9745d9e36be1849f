"""What the doors can ask for: actions that load, decide and save in one transaction."""

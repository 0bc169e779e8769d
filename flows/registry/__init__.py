"""The registry as every flow and command meets it: opened, checked, kept in order."""

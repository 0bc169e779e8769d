"""What builds and describes the project, and is no part of it."""

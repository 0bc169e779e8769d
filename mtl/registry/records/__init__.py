"""What MLflow has recorded, read without importing MLflow."""

"""What flows start as processes beside the stages of dvc.yaml."""

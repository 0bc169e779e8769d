"""What each stage reads of params.yaml: no more, so that a change elsewhere costs it nothing."""

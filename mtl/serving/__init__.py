"""The packaged model at work: on folders and buckets with Ray Data, behind HTTP with Ray Serve."""

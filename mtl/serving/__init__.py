"""The packaged model at work: on folders and buckets, and behind HTTP."""

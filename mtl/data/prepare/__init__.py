"""From the raw data set to shards: the operations on every image, on cores or on a cluster."""

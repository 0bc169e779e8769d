"""From shards to batches: order, sources, augmentation."""

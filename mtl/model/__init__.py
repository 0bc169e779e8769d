"""The network: backbone, neck, sharing and heads."""

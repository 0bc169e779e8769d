"""Whatever is killed, whenever: run again, and there is one version, one champion, and the same weights."""

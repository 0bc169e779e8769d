"""Ray by address or by jobs: sessions, nodes of this machine, work that is handed over."""

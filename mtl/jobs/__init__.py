"""Work that a cluster does through Ray's Jobs API: handing it over, and doing it there."""

"""Many pictures: a list of jobs, done by one process, by several, or by a cluster, all with the same code."""

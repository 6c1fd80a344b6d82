"""The lineage of runs as a graph, and the formats that other programs read it in."""

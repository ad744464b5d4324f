"""Reports: what a video shows, said with its evidence, as a page or a file."""

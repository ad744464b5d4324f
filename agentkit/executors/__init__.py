"""Who looks at a video's chunks: this process, others beside it, or Ray's on many machines."""

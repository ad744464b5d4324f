"""What a bundle's tiers and members are called. Who writes one and who reads one agree here."""

ALWAYS = ("notes", "vectors")
TOKENS, KV = "tokens", "kv"
TIERS = (*ALWAYS, TOKENS, KV)
# Ends the fingerprint of what came without tokens: it is another making than the whole one.
WITHOUT_TOKENS = "|without tokens"
# Told in other words, counted, or for each store to say.
NOT_CARRIED = ("video_id", "path", "chunks", "tiers", "collection", "pinned", "tags")
VECTORS_TEXT, VECTORS_VISUAL = "text", "visual"


def sound_name(video_id: str) -> str:
    return f"videos/{video_id}/sound.jsonl"


def chunk_name(video_id: str, index: int, what: str, suffix: str) -> str:
    return f"videos/{video_id}/{what}-{index:08}.{suffix}"


def blob_name(sha256: str) -> str:
    return f"blobs/{sha256}.safetensors"


def footage_name(video_id: str) -> str:
    return f"footage/{video_id}"

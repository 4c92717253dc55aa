"""What a run is, what it leaves behind, and whether that still holds."""

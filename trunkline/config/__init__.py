"""trunkline.yaml: read with positions, checked, and turned into the admin Document; and back."""

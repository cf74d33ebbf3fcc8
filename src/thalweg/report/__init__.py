"""What a study says: `contents` lists its sections as data; `html` and `terminal` render them."""

"""`thingmint backup` and `thingmint restore`: a whole service in one file, and back."""

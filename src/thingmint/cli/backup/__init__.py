"""`thingmint backup` and `thingmint restore`: write a whole service to one file, and restore it."""

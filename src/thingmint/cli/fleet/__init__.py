"""`thingmint fleet simulate`: real devices, as many as an installation is to bear, to find out how it bears them."""

"""`thingmint issuer`: shows and changes the certificate authorities that issue device certificates."""

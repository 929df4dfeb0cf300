"""`thingmint issuer`: the certificate authorities that issue device certificates, from the command line."""

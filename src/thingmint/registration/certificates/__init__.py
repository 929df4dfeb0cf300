"""How certificates are issued, registered, transferred and provided."""

"""Owns what clients get by HTTP without authentication: issuers' certificates, CRLs, OCSP and the log's pages."""

"""How programs run on PostgreSQL: sessions, a choice of servers, notifications and copying."""

"""What makes several processes on one PostgreSQL database one service to devices and operators."""

"""Owns how several processes on one PostgreSQL database act as one service for devices and operators."""

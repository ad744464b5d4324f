"""Migrations of the store's database, in order; run when a store is opened."""

"""Whole models for tests, a table a kind: ``zoo`` joins them, ``row`` says what a row is."""

"""The table of layers: a row a form. Its driver is ``tests/test_ir.py``."""

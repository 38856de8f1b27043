"""The table of operators: a row a form. Its driver is ``tests/test_converters.py``."""

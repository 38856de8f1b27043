"""The tables: what is tested, a row a form. The drivers are ``tests/test_ir.py`` and ``test_converters.py``."""

"""Networks rewritten to equal ones: folded, in a precision, as a release needs them."""

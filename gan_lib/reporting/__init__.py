"""Records in, tables, figures, claims and pages out; trains nothing."""

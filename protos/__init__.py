"""The contracts and the modules generated from them. No logic written by hand."""

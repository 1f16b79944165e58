"""Rehearsals on a Titan of their own: what is done in an emergency is done once a week, measured, and signed."""

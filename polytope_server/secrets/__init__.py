"""The secret of a deployment, and what is sealed with keys derived from it."""

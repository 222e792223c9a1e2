"""The Pulumi CLI for a lab: found or built, with a language host, and driven on one stack."""

"""Programs on the deploying machine, run by Pulumi's Command resources or by people."""

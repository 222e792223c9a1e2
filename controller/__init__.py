"""What runs on the deploying machine beside the program: commands of the graph, and of people."""

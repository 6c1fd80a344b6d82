"""What runs did not record themselves: tags from Git commits, and the outs of stages."""

"""What a run used: its recorded state, the outs and files in it, and the objects that hold them."""

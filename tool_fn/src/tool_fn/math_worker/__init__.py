"""What the math tool does with SymPy. All of it runs in a worker: importing it loads SymPy."""

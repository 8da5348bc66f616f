"""Files in, text with its structure out. What strangers send is read in confined processes, never in the function."""

"""A model that obeys whatever it reads, wherever it reads it: what a platform has to stay safe with."""

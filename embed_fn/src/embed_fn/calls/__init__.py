"""The RPCs: one module for each group, from protos to what does the work and back."""

"""What holds whatever a model says or reads: marks around strangers' text, approvals, filters of what goes out."""

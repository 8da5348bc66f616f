"""Who calls: API keys, access tokens and tokens of other issuers, checked before anything else is done."""

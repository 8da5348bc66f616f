"""`dormouse admin`: what operators do at the database and at key files, where no request could.

Each subject has a module with `add_commands`; `database` and `output` are what they share. Routes and commands use the
same functions of `edge.identity` and `edge.api_keys`.
"""

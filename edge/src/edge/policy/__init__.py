"""What a run may do, decided before it starts: by its caller's credential, its tenant's rules and the operator's.

No text that a run reads changes any of it. The rules travel with the run (dormouse.agent.v1.Safety) and in the token
that tools are called with, where tool_fn checks them again.
"""

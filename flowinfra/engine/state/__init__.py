"""Pulumi's file backend ("DIY backend"): checkpoints, secrets, locks, history, as the real CLI reads and writes them.

``resources`` and ``checkpoint`` are pure (a JSON document to values and back), ``secrets`` opens and seals what is
secret in them, ``backend`` and ``locks`` touch the disk. Nothing here imports pulumi or knows what an update is.
"""

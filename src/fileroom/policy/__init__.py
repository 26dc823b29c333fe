"""Decisions as pure functions: facts go in, a decision with its reason comes out.

Owns: nothing durable
Never: I/O, clock, randomness, logging, tasks
Start at: placement.py
"""

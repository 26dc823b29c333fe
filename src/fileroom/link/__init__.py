"""The way to the providers: who may call now, and what every call cost.

Owns: nothing durable (counts live as long as the process)
Never: deciding what is stored; a provider call without its lane
Start at: metered.py
"""

"""What travels on a connection: the DICOM upper layer, DIMSE messages, HTTP bodies. No sockets.

Every parser here is fed with whatever bytes came and pulled for what they mean, so the same
bytes give the same events however the network cut them. The rooms that own a socket (dimse,
peer, dicomweb) wrap it around these.

Owns: nothing durable
Never: sockets, clocks, tasks, logging, randomness
Start at: upper_layer.py
"""

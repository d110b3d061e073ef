"""Byzantine agreement without IO: Castro and Liskov's PBFT (OSDI'99), and what the paper left out.

A driver gives a Replica what arrives (`step`), the passing of time (`tick`), and asks what follows
(`ready`): records to persist, *then* frames to send, *then* (`advance`) blocks to apply. The core
knows no clock, disk, network or chance, so a simulator can own all four.
"""

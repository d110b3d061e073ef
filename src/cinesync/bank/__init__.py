"""The sandbox's bank: a process with durable charges, test cards and injected faults."""

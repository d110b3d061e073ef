"""The event bus over RabbitMQ: quorum queues, publisher confirms, reconnection."""

"""The payment service: takes payments for holds, and refunds them.

It owns payments, captures, refunds, disputes and provider events. It emits payment.success,
payment.failed, payment.refunded, payment.refund.failed and payment.disputed; it consumes
booking.refused, booking.cancelled, booking.reduced (refunds) and customer.erased.

Three rules keep captures, refunds and bookings equal:

1. A payment is written as `pending` before its provider learns of it, so that none is forgotten.
2. A capture is written once, under the provider's id of its charge.
3. A capture either pays its payment or is surplus, and surplus is refunded.
"""

"""The payment room: takes money for holds, gives it back, and can prove both.

Owns payments, captures, refunds, disputes and provider events. Emits payment.success,
payment.failed, payment.refunded, payment.refund.failed and payment.disputed; consumes
booking.refused, booking.cancelled and booking.reduced (money goes back).

Money is conserved by three rules. A payment is written as `pending` before its provider hears of
it, so none is forgotten. A capture is written once, under the provider's own id for it. Each
capture either is the one its payment succeeded with or is surplus, and surplus goes back.
"""

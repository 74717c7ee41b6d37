"""Models of a customer base: how often customers buy, whether they left, what an order is worth.

Belongs here: likelihoods, fits, forecasts and draws, one model a file; pure functions over arrays.
What they are fed with and which of them publishes is decided in `score_choice`.

A customer's history is three numbers, in any one unit of time; every array has shape (customers,):

- `repeat_count`: purchases after the first; the field's *frequency*, x.
- `last_at`: time of the last purchase since the first, 0 without a second; *recency*, t_x.
- `observed`: time since the first purchase; *T*.

While active a customer buys at random times at a rate of their own, Gamma(r, alpha) over customers.
The models differ in how customers leave: never (NBD), after a purchase (BG/NBD, MBG/NBD), or at any
time (Pareto/NBD). Gamma-Gamma says what an order is worth.
"""

"""PBFT without IO: n = 3f + 1 replicas agree on one order of requests while f of them may lie.

The source is Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI'99, section 4). A
driver owns clock, disk and network. It calls `Replica.step` with a frame that arrived, `tick` as
time passes, and `ready` for what follows: records to persist, *then* frames to send, *then*
(`advance`) blocks to apply. Nothing here reads a clock or draws a random number, so a simulator
can own all four. To see the protocol at work, read `tests/simulation/scenarios/*.txt`.

Hand-written, because no maintained Python library implements PBFT, and because consensus is what
this project exists for: the simulator must own its clock, network and disk.

Terms. A *height* is the paper's sequence number n; a *block* is the batch of requests ordered
there. A *view* has one *primary* (view mod n); the others are *backups*. A *quorum* is
ceil((n + f + 1) / 2) replicas, 2f + 1 of 3f + 1: two quorums share an honest replica (`quorum`).

Normal case (4.1, 4.2; `ordering`, `execution`)
    request       A client signs a batch and sends it to all replicas.
    pre-prepare   The primary binds (view, height) to the digest of a block.
    prepare       Each backup checks the block and signs the same binding. A replica has *prepared*
                  once it has the pre-prepare and a quorum less one of prepares by backups: no
                  other digest can prepare at this height in this view.
    commit        Each prepared replica says so. A quorum of commits decides the block: any later
                  view must choose it again.
    reply         Replicas apply decided blocks strictly in order, each request once (`sessions`).
                  A client accepts a result from f + 1 equal replies (`client`).

Checkpoints (4.3; `checkpoint`, `log`)
    Every K heights a replica signs a digest of its state. A quorum of equal digests makes the
    checkpoint *stable*; everything below it is deleted. Stable height h is the low mark, h + L the
    high mark: replicas accept heights between the two only, so memory is bounded.

View change (4.4, 4.5.2; `view_change`)
    A backup that waits longer than the view timeout for a request stops voting in the view and
    sends a view-change with C, its stable checkpoint certificate, and P, a certificate for each
    height that it prepared. The next primary collects a quorum V of them and sends a new-view with
    O: for each height the digest of the *highest view* in P, or the null request. Backups compute
    O again; they do not trust the primary. The timeout doubles (T, 2T, 4T…) until a block is
    applied. A replica that sees f + 1 view-changes for higher views joins the lowest of them.

State transfer (`catch_up`; the paper leaves it open)
    Replicas announce where they stand. Others send a replica that does not advance what it lacks:
    decided blocks with their certificates, or, below the low mark, the state that a stable
    checkpoint names, in chunks that are checked one by one.

Crashes (`recovery`; beyond the paper)
    A vote is durable before it is sent, so a restart repeats the same bytes. A replica that lost
    its log *abstains*: it follows, but signs no vote until the stable checkpoint is above anything
    that it may have signed (see `catch_up.on_probe_answer`).

Reconfiguration (`checkpoint`, `execution`; beyond the paper)
    An operator's request names the next *configuration*: validators, keys and clients. It takes
    effect at a checkpoint whose state names it, so the old quorum signs the new set. These epoch
    links lead from the genesis to the newest set (`certificates.links`).

Modules, lowest first: `quorum`, `messages` (encoding, signatures), `ports` (what a driver
injects), `certificates` (are there enough valid signatures?), `log`, `sessions`, `evidence`,
`core` (a replica's memory), `checkpoint`, `ordering`, `execution`, `view_change`, `catch_up`,
`recovery`, `replica`, `client`.
"""

"""The configurations since the genesis; a quorum of each signed the next."""

from collections.abc import Iterable, Sequence

from cinesync.pbft import certificates
from cinesync.pbft.messages import Configuration, EpochLink
from cinesync.proofs import genesis
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.keys import KeyRing

_RING = KeyRing()


class Epochs:
    """Links carry their proof, so they may come from anyone."""

    def __init__(self, start: Genesis) -> None:
        self.links: list[EpochLink] = []
        self.all: list[Configuration] = [start.configuration]
        self._by_hash = {genesis.set_hash(start.configuration): start.configuration}

    @property
    def newest(self) -> Configuration:
        return self.all[-1]

    def learn(self, links: Iterable[EpochLink]) -> bool:
        """Add links; skip those that do not follow or verify. True if there is a newer set."""
        known = len(self.all)
        for link in links:
            follows = link.proof.epoch == self.newest.epoch
            if follows and certificates.links(_RING, {self.newest.epoch: self.newest}, link):
                self.links.append(link)
                self.all.append(link.state.configuration)
                self._by_hash[genesis.set_hash(self.newest)] = self.newest
        return len(self.all) > known

    def of(self, header: BlockHeader) -> Configuration | None:
        """The configuration that signs this header; None: unknown."""
        return self._by_hash.get(header.validators)

    def up_to(self, epoch: int) -> Sequence[EpochLink]:
        """The links that a receipt of that epoch contains."""
        return self.links[:epoch]

    def at(self, height: int) -> Configuration:
        """The configuration in force at a height. A link's height is the last of the old epoch."""
        return self.all[sum(link.state.height < height for link in self.links)]

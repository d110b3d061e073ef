"""The sets of validators since the genesis, each vouched for by a quorum of the one before."""

from collections.abc import Iterable, Sequence

from cinesync.pbft import certificates
from cinesync.pbft.messages import Configuration, EpochLink
from cinesync.proofs import genesis
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.keys import KeyRing

_RING = KeyRing()


class Epochs:
    """Links prove themselves, so that they may come from anybody."""

    def __init__(self, start: Genesis) -> None:
        self.links: list[EpochLink] = []
        self.all: list[Configuration] = [start.configuration]
        self._by_hash = {genesis.set_hash(start.configuration): start.configuration}

    @property
    def newest(self) -> Configuration:
        return self.all[-1]

    def learn(self, links: Iterable[EpochLink]) -> bool:
        """Whether there is a newer set now; what does not follow, or is not signed, is left out."""
        known = len(self.all)
        for link in links:
            follows = link.proof.epoch == self.newest.epoch
            if follows and certificates.links(_RING, {self.newest.epoch: self.newest}, link):
                self.links.append(link)
                self.all.append(link.state.configuration)
                self._by_hash[genesis.set_hash(self.newest)] = self.newest
        return len(self.all) > known

    def of(self, header: BlockHeader) -> Configuration | None:
        """The set that signs this header; None: none that is known."""
        return self._by_hash.get(header.validators)

    def up_to(self, epoch: int) -> Sequence[EpochLink]:
        """What a receipt of that epoch must show."""
        return self.links[:epoch]

    def at(self, height: int) -> Configuration:
        """The set in force at a height: a link's own height is the last of the epoch before."""
        return self.all[sum(link.state.height < height for link in self.links)]

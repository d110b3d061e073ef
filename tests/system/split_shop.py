"""A whole split shop under test: what `cinesync up --split` runs, over a broker of its own."""

import os
import signal
import ssl
from collections.abc import Mapping

from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.split import SplitOptions, SplitShop
from tests.support.rabbitmq_server import RabbitMqServer
from tests.support.shop import RunningShop


class RunningSplitShop(RunningShop):
    """Starts, watches, kills; `broker` is another's to stop."""

    supervisor: SplitShop

    def __init__(self, broker: RabbitMqServer, replicas: Mapping[str, int], **environ: str) -> None:
        self.broker = broker
        self._replicas = replicas
        super().__init__(None, RABBITMQ_URL=broker.url, **environ)
        self.url = self.supervisor.url

    def _build(self, environ: Mapping[str, str], module: str) -> SplitShop:
        return SplitShop(self.data_folder, self.address, environ, SplitOptions(self._replicas))

    def trust(self) -> ssl.SSLContext:
        """The shop's own CA."""
        return ssl.create_default_context(cafile=self.supervisor.authority)

    def child(self, name: str) -> ManagedProcess:
        """A process by its name: booking-1, bank, validator-0, gateway."""
        children = [*self.supervisor.children, *self.supervisor.validators, *self.supervisor.banks]
        return next(child for child in children if child.name == name)

    def kill(self, part: str) -> None:
        """SIGKILL one process."""
        os.kill(self.child(part).pid, signal.SIGKILL)

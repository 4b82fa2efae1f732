"""Connections: where the brokers are and how to prove who we are, in the words that aiokafka wants."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import TypedDict

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from app.errors import Fault, SettingsError
from app.settings import Security

CLIENT_ID = "headwater"
PLAINTEXT = Security()


class ConnectArguments(TypedDict, total=False):
    """What every aiokafka client takes; the rest is each client's own."""

    bootstrap_servers: list[str]
    client_id: str
    security_protocol: str
    ssl_context: ssl.SSLContext
    sasl_mechanism: str
    sasl_plain_username: str
    sasl_plain_password: str


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach a cluster."""

    brokers: tuple[str, ...]
    """`host:port` each; any that answers tells of the others."""
    security: Security = PLAINTEXT
    """Its secrets print as `***`."""

    @classmethod
    def of(cls, brokers: str, security: Security = PLAINTEXT) -> "KafkaSettings":
        """From `host:port,host:port`."""
        return cls(tuple(part.strip() for part in brokers.split(",") if part.strip()), security)

    def connect_arguments(self) -> ConnectArguments:
        """The keyword arguments of any aiokafka client; reads the certificate files.

        Raises:
            SettingsError: A certificate or key file cannot be read.
        """
        security = self.security
        arguments: ConnectArguments = {
            "bootstrap_servers": list(self.brokers),
            "client_id": CLIENT_ID,
            "security_protocol": security.protocol,
        }
        if security.protocol.endswith("SSL"):
            arguments["ssl_context"] = ssl_context(security)
        if security.protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = security.mechanism or "PLAIN"
            arguments["sasl_plain_username"] = security.username or ""
            arguments["sasl_plain_password"] = security.password.reveal() if security.password else ""
        return arguments


def ssl_context(security: Security) -> ssl.SSLContext:
    """The TLS context that the settings describe.

    Raises:
        SettingsError: A file cannot be read, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        context.check_hostname = security.check_hostname
        if security.cert_file:
            password = security.key_password.reveal() if security.key_password else None
            context.load_cert_chain(security.cert_file, security.key_file, password)
    except OSError as error:
        # SSLError is an OSError: a missing file and one that is no PEM both arrive here.
        files = ", ".join(filter(None, (security.ca_file, security.cert_file, security.key_file)))
        message = f"the TLS files cannot be used ({files}): {error}"
        raise SettingsError([Fault("", 0, 0, "kafka.security", message)]) from error
    return context


async def answers(settings: KafkaSettings, timeout_s: float) -> bool:
    """Whether a broker answers a metadata request with a broker to talk to; a mere TCP connection proves nothing."""
    for address in settings.brokers:
        host, _, port = address.rpartition(":")
        arguments = settings.connect_arguments()
        del arguments["bootstrap_servers"]
        try:
            async with asyncio.timeout(timeout_s):
                connection = await create_conn(host, int(port), request_timeout_ms=int(timeout_s * 1000), **arguments)
                try:
                    metadata = await connection.send(MetadataRequest([]))
                finally:
                    connection.close()
        except (OSError, KafkaError, TimeoutError):
            continue
        if metadata.brokers:
            return True
    return False

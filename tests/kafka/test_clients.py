from app.embedded.broker import EmbeddedBroker
from app.embedded.home import free_port
from app.kafka.clients import KafkaSettings, answers
from app.settings import Secret, Security


async def test_a_running_broker_answers(broker: EmbeddedBroker) -> None:
    assert await answers(KafkaSettings.of(broker.bootstrap), timeout_s=10)


async def test_one_answer_among_several_addresses_is_enough(broker: EmbeddedBroker) -> None:
    settings = KafkaSettings.of(f"127.0.0.1:{free_port()}, {broker.bootstrap}")
    assert await answers(settings, timeout_s=10)


async def test_nobody_listening_is_no_answer() -> None:
    assert not await answers(KafkaSettings.of(f"127.0.0.1:{free_port()}"), timeout_s=2)


def test_sasl_over_tls_in_the_words_of_the_client() -> None:
    security = Security(
        protocol="SASL_SSL", mechanism="SCRAM-SHA-512", username="ann", password=Secret("canary"), check_hostname=False
    )
    settings = KafkaSettings.of("a:1,b:2", security)
    arguments = settings.connect_arguments()
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_username"] == "ann"
    assert arguments["sasl_plain_password"] == "canary"
    assert not arguments["ssl_context"].check_hostname


def test_a_password_is_not_printed() -> None:
    assert "canary" not in repr(KafkaSettings.of("a:1", Security(password=Secret("canary"))))

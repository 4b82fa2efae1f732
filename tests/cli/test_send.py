"""Recorded events reach the topic; what is no JSON is told by its line."""

import io
import json
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.cli.commands import run
from app.cli.send import LINE_BYTES_MAX, lines
from app.embedded.broker import EmbeddedBroker
from app.kafka.admin import Admin, TopicSpec
from app.topics import Topics, partition_of
from tests.cli.program import headwater

PARTITIONS = 3


def read(text: bytes, raw: bool = False) -> list[tuple[int, bytes | None, bytes, bool]]:
    return [(line.number, line.key, line.value, bool(line.problem)) for line in lines(io.BytesIO(text), raw)]


def test_keys_are_users_else_anonymous_ids() -> None:
    text = b'{"userId":"u","anonymousId":"a"}\n{"anonymousId":"a"}\n{"userId":17}\n{}\n3\n'
    assert [key for _, key, _, _ in read(text)] == [b"u", b"a", b"17", None, None]


def test_lines_keep_their_bytes_and_their_numbers() -> None:
    assert read(b'\n  {"a": 1}  \r\n\n{"b":2}') == [
        (2, None, b'  {"a": 1}  ', False),
        (4, None, b'{"b":2}', False),
    ]


@pytest.mark.parametrize("value", [b"nonsense", b'{"a":', b"{'a': 1}", b'{"a": NaN}', b'{"a": "\xff"}', b"[" * 5_000])
def test_what_is_no_json_is_a_problem_unless_raw(value: bytes) -> None:
    assert read(value + b"\n") == [(1, None, value, True)]
    assert read(value + b"\n", raw=True) == [(1, None, value, False)]


def test_a_line_without_end_is_bounded() -> None:
    found = read(b"x" * (2 * LINE_BYTES_MAX + 5) + b'\n{"a":1}\n')
    assert [(number, problem) for number, _, _, problem in found] == [(1, True), (2, False)]


@pytest.fixture
async def prefix(broker: EmbeddedBroker, topics: Topics) -> str:
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([TopicSpec(topics.events_raw, PARTITIONS, 1)])
    return topics.prefix


async def stored(broker: EmbeddedBroker, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[tuple[int, bytes | None, bytes | None]] = []
        while len(found) < sum(ends.values()):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                found += [(place.partition, record.key, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def test_good_lines_are_sent_and_bad_ones_told(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"kafka: {{brokers: '{broker.bootstrap}', topic_prefix: {prefix}}}\n")
    (tmp_path / "e.jsonl").write_bytes(b'{"userId":"ann","n":1}\nnonsense\n{"userId":"ann","n":2}\n{"n":3}\n')
    done = headwater("send", "e.jsonl", "--config", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("e.jsonl:2: not JSON: ")
    assert done.stdout == f"3 events sent to {prefix}events.raw, 1 line left out\n"
    found = await stored(broker, f"{prefix}events.raw")
    assert [value for _, key, value in found if key == b"ann"] == [
        b'{"userId":"ann","n":1}',
        b'{"userId":"ann","n":2}',
    ]
    assert {partition for partition, key, _ in found if key == b"ann"} == {partition_of(b"ann", PARTITIONS)}
    assert len(found) == 3


async def test_raw_lines_come_from_stdin_without_any_configuration(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    topic = f"{prefix}events.raw"
    done = headwater(
        *("send", "-", "--raw", "--json", "--topic", topic, "--brokers", broker.bootstrap),
        stdin=b"nonsense\n",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"sent": 1, "topic": topic, "refused": 0}
    assert [value for _, _, value in await stored(broker, topic)] == [b"nonsense"]


def test_a_rate_is_kept(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(b"{}\n" * 100)
    started_s = time.monotonic()
    where = ["--topic", f"{prefix}events.raw", "--brokers", broker.bootstrap]
    assert run(["send", str(events), "--rate", "50", *where]) == 0
    assert time.monotonic() - started_s >= 1.9
    assert capsys.readouterr().out == f"100 events sent to {prefix}events.raw\n"


def test_a_missing_file_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["send", "none.jsonl", "--brokers", "127.0.0.1:1"]) == 2
    assert capsys.readouterr().err == "headwater: none.jsonl: No such file or directory\n"


def test_a_missing_topic_is_a_failure(
    broker: EmbeddedBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "e.jsonl"
    events.write_bytes(b"{}\n")
    assert run(["send", str(events), "--topic", "none", "--brokers", broker.bootstrap]) == 1
    assert "there is no topic none" in capsys.readouterr().err

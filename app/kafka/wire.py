"""Metadata requests with topic ids, which aiokafka 0.14 does not have: it stops at version 5, ids came with 10.

Version 10 is understood by every broker since Kafka 2.8. "Compact" lengths are unsigned varints, one more than the
length, 0 for null; every structure ends with its tagged fields, of which we send and expect none.

    request   topics [id uuid, name, tags], auto-create bool, cluster operations bool, topic operations bool, tags
    response  throttle int32, brokers [id int32, host, port int32, rack, tags], cluster id, controller int32,
              topics [error int16, name, id uuid, internal bool, partitions […], operations int32, tags],
              operations int32, tags

Source: Kafka's protocol guide, "Metadata" (read 2026-11-22).
"""

from collections.abc import Iterable
from io import BytesIO
from uuid import UUID

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

METADATA = 3
VERSION = 10
NO_ID = UUID(int=0)


class Uuid(AbstractType):  # type: ignore[misc]  # aiokafka is untyped for us
    """Sixteen raw bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


TEXT = CompactString("utf-8")


class MetadataResponse(Response):  # type: ignore[misc]  # as above
    """What the brokers say of topics."""

    API_KEY = METADATA
    API_VERSION = VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class MetadataRequestStruct(RequestStruct):  # type: ignore[misc]  # as above
    """The request as it is on the wire."""

    FLEXIBLE_VERSION = True
    API_KEY = METADATA
    API_VERSION = VERSION
    RESPONSE_TYPE = MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdsRequest(Request[MetadataRequestStruct]):  # type: ignore[misc]  # as above
    """Asks for topics by name, ids included; never creates one."""

    API_KEY = METADATA

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataRequestStruct]) -> MetadataRequestStruct:
        return request_struct_class([(NO_ID, name, {}) for name in self._topics], False, False, False, {})

"""Stands in for providers of Terraform: they know what their resources look like, and no cloud.

Terraform asks a provider for its schemas and checks a configuration against them itself; that is
all that `validate`, and `test` with mocked providers, need of one. The schemas have the shape that
`terraform providers schema -json` prints, and hold what infra/terraform uses of each provider.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc  # type: ignore[import-untyped,import-not-found,unused-ignore]  # of .venv/tools
from tf.gen import tfplugin_pb2 as protocol  # type: ignore[import-not-found]  # of .venv/tools

SCHEMAS = Path(__file__).parent / "schemas" / "terraform"
PROVIDERS = {"hashicorp/aws": "aws", "prefecthq/prefect": "prefect"}
VALIDATED = ("ValidateProviderConfig", "ValidateResourceConfig", "ValidateDataResourceConfig")
"""Terraform has checked by the schema before it asks these; the stand-in has nothing to add."""


@contextmanager
def stand_ins() -> Iterator[str]:
    """Serves all of PROVIDERS; gives what Terraform reads as TF_REATTACH_PROVIDERS."""
    with TemporaryDirectory() as folder, ExitStack() as servers:
        attached = {}
        for source, name in PROVIDERS.items():
            address = str(Path(folder, name))
            server = _server(json.loads((SCHEMAS / f"{name}.json").read_text()))
            server.add_insecure_port(f"unix://{address}")
            server.start()
            servers.callback(server.stop, None)
            attached[source] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": address},
            }
        yield json.dumps(attached)


def _server(schemas: dict[str, Any]) -> grpc.Server:
    answers = {name: getattr(protocol, name).Response() for name in VALIDATED}
    answers["GetProviderSchema"] = protocol.GetProviderSchema.Response(
        provider=_schema(schemas["provider"]),
        resource_schemas=_each(schemas, "resource_schemas"),
        data_source_schemas=_each(schemas, "data_source_schemas"),
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    methods = {name: _always(answer.SerializeToString()) for name, answer in answers.items()}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("tfplugin6.Provider", methods)]
    )
    return server


def _always(answer: bytes) -> Any:
    return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


def _each(schemas: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: _schema(schema) for name, schema in schemas.get(kind, {}).items()}


def _schema(schema: dict[str, Any]) -> Any:
    return protocol.Schema(version=schema.get("version", 0), block=_block(schema["block"]))


def _block(block: dict[str, Any]) -> Any:
    nesting = protocol.Schema.NestedBlock.NestingMode
    return protocol.Schema.Block(
        attributes=[
            protocol.Schema.Attribute(
                name=name, **{**attribute, "type": json.dumps(attribute["type"]).encode()}
            )
            for name, attribute in block.get("attributes", {}).items()
        ],
        block_types=[
            protocol.Schema.NestedBlock(
                type_name=name,
                nesting=nesting.Value(nested["nesting_mode"].upper()),
                min_items=nested.get("min_items", 0),
                max_items=nested.get("max_items", 0),
                block=_block(nested["block"]),
            )
            for name, nested in block.get("block_types", {}).items()
        ],
    )

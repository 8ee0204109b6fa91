"""Run the Hub stand-in: ``python -m infra.local.hub --root DIR --port N``."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError

from .app import create_app
from .endpoint import describe
from .hub import Hub
from .settings import MIB, Settings

_DRAIN_S = 10


def serve(
    root: Annotated[Path, typer.Option(help="Folder that holds the server's state.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port to listen on.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    content_host: Annotated[
        str, typer.Option(help="Another name of that address, for links to content.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(help='JSON: {"TOKEN": {"name": ..., "role": ..., "orgs": []}}.')
    ] = None,
    xet: Annotated[bool, typer.Option("--xet", help="Offer the Xet transfer.")] = False,  # noqa: FBT002
    lfs_threshold: Annotated[
        int, typer.Option(min=0, help="Bytes above which any file goes through LFS.")
    ] = 10 * MIB,
    multipart_threshold: Annotated[
        int, typer.Option(min=0, help="Bytes above which LFS files come in parts.")
    ] = 64 * MIB,
    part_size: Annotated[int, typer.Option(min=1, help="Bytes per part.")] = 16 * MIB,
    log_file: Annotated[
        Path | None, typer.Option(help="Append one JSON line per request to this file.")
    ] = None,
) -> None:
    """Serve a local Hugging Face Hub until SIGTERM or SIGINT."""
    settings = Settings(
        root=root,
        host=host,
        port=port,
        content_host=content_host,
        token_file=token_file,
        xet=xet,
        lfs_threshold=lfs_threshold,
        multipart_threshold=multipart_threshold,
        part_size=part_size,
        log_file=log_file,
    )
    app = create_app(_open(settings))
    # uvicorn drains and then raises the signal again: that is the ordinary end here
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )


def _open(settings: Settings) -> Hub:
    try:
        return Hub.open(settings)
    except ValidationError as error:
        # not the error itself: it would quote the tokens
        reason = f"{settings.token_file} must map tokens to users: {describe(error)}"
    except (OSError, ValueError) as error:
        reason = str(error)
    typer.echo(f"Cannot start the Hub stand-in: {reason}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(serve)

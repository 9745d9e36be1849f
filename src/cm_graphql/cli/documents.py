"""`cm-graphql documents`: register the documents that clients were built with."""

from collections.abc import Mapping
from pathlib import Path

from cyclopts import App

from cm_graphql.cli.base import DatabaseUrl, read_settings, with_database
from cm_graphql.settings import Complaint, Settings

documents_app = App(
    name="documents", help="Registered documents: what clients were built with, answered by id, or alone if so set."
)


@documents_app.command
def register(*paths: Path, database_url: DatabaseUrl = None) -> None:
    """Register the documents of a client, found in what its tools write; run it before the client is deployed.

    Parameters
    ----------
    paths
        Files or folders: Relay's or graphql-codegen's persisted documents, Apollo's manifest (.json), or documents
        themselves (.graphql, .gql), which are called by the SHA-256 of their text.
    """
    from cm_graphql.operations import registered

    if not paths:
        raise Complaint("Name the files or folders to register: cm-graphql documents register FILE|DIR...")
    settings = read_settings(database_url=database_url)
    try:
        documents = registered.read(paths)
    except registered.NotRegistered as refused:
        raise Complaint(str(refused)) from None
    _refuse_unanswerable(settings, documents)
    made = with_database(database_url, lambda database, clock: registered.register(database, clock, documents))
    print(f"{made} documents are registered, {len(documents) - made} were already.")


@documents_app.command(name="list")
def list_documents(*, database_url: DatabaseUrl = None) -> None:
    """Print the registered documents: id, and the names of their operations."""
    from graphql import OperationDefinitionNode, parse

    from cm_graphql.operations import registered

    for one in with_database(database_url, lambda database, clock: registered.every(database)):
        names = [
            f"{node.operation.value} {node.name.value if node.name else ''}".strip()
            for node in parse(one.text).definitions
            if isinstance(node, OperationDefinitionNode)
        ]
        print(f"{one.id}  {', '.join(names)}")


@documents_app.command
def remove(*ids: str, database_url: DatabaseUrl = None) -> None:
    """Forget registered documents; servers know them no longer within seconds.

    Parameters
    ----------
    ids
        Their ids, as `documents list` shows them.
    """
    from cm_graphql.operations import registered

    with_database(database_url, lambda database, clock: registered.remove(database, ids))
    print(f"{len(ids)} documents are forgotten.")


def _refuse_unanswerable(settings: Settings, documents: Mapping[str, str]) -> None:
    """Complain of each document that the server would refuse."""
    from cm_graphql.api.documents import Documents
    from cm_graphql.api.errors import DocumentRefused
    from cm_graphql.api.schema import schema

    judge = Documents(schema._schema, settings.limits())
    faults: list[str] = []
    for id, text in documents.items():
        try:
            judge.prepare(text)
        except DocumentRefused as refused:
            faults.append(f"{id[:80]}: {refused.errors[0]['message']}")
    if faults:
        raise Complaint("\n".join(["Nothing was registered, for these would be refused:", *faults]))

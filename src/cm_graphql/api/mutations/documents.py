"""Mutations that make PDFs of credit memos, keep others, and mail them."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.api.types.pdf import CreditMemoPdfStatus, read_pdf_status
from cm_graphql.fields.declare import NAMES
from cm_graphql.operations import documents

NAMES["CreditMemoPdfStatus"] = CreditMemoPdfStatus


@strawberry.type
class Documents:
    """PDFs, files and mail (domain.md 1.13-1.15, 1.20)."""

    generate_credit_memo_pdf = mutation(
        documents.generate_pdf,
        "Has the PDF of a draft or posted memo made in the background; while one is being made, that one is answered.",
        credit_memo=("CreditMemo", "The memo."),
        pdf_status=("CreditMemoPdfStatus", "Where the PDF stands.", read_pdf_status),
        job=("CreditMemoJob", "The job that makes it; null in a dry run."),
    )
    upload_credit_memo_file = mutation(
        documents.upload,
        "Adds a PDF to a draft or posted memo, as its latest. Send it by the GraphQL multipart request specification, "
        "with the header `GraphQL-Require-Preflight: 1`.",
        credit_memo=("CreditMemo", "The memo."),
        file=("CreditMemoFile", "The file; null in a dry run."),
    )
    email_credit_memo = mutation(
        documents.email,
        "Mails a posted memo in the background, with its PDF where the settings say so.",
        credit_memo=("CreditMemo", "The memo."),
        job=("CreditMemoJob", "The job that sends the mail; null in a dry run."),
    )

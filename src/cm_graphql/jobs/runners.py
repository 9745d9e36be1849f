"""What does each kind of job."""

from collections.abc import Mapping

from cm_graphql.domain.enums import JobOperation
from cm_graphql.operations import documents, settlement
from cm_graphql.operations.jobs import Runner

RUNNERS: Mapping[JobOperation, Runner] = {
    JobOperation.ASYNC_CREDIT_MEMO_APPLY: settlement.run_apply,
    JobOperation.ASYNC_CREDIT_MEMO_UNAPPLY: settlement.run_unapply,
    JobOperation.GENERATE_CREDIT_MEMO_PDF: documents.run_generate_pdf,
    JobOperation.EMAIL_CREDIT_MEMO: documents.run_email,
}

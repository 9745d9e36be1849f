"""PDFs of credit memos: what they say, how it is spelled where the reader lives, and how it is set."""

from cm_graphql.outside.pdf.printer import BadFolder, TypstPrinter

__all__ = ["BadFolder", "TypstPrinter"]

"""What is allowed with credit memos and what follows from it: rules as functions over frozen records, without I/O."""

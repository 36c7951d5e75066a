"""From records to rows: batches, blocks, the writer, and the ledger of what is stored."""

"""Reports of accounts: what a day, a week or a month was, as a document, a page and a message."""

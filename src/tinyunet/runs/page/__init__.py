"""What the report's page shows: the run folder as read, and the sentences, tables and curves made of it."""

"""What the labels mean, and the records that people, models and rules leave about documents."""

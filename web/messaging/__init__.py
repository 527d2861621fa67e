"""What happens behind the webhooks. Loaded only where there is an account, because the database is heavy."""

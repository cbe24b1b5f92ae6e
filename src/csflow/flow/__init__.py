"""The flow language, pure: no customer, no database, no clock."""

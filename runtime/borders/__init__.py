"""The three borders a machine can have: live (``run``), recording (``record``) and replaying (``replay``)."""

"""The processes of a gateway: one worker in this one, or several under a supervisor."""

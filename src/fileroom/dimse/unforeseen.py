"""How an error that nobody foresaw is logged: without its text."""

import logging


def log_unforeseen(log: logging.Logger, association: str, error: Exception) -> None:
    """Say what kind of error it was and where. Its text could hold a patient's name."""
    module, line = "?", 0
    trace = error.__traceback__
    while trace is not None:
        module, line = trace.tb_frame.f_globals.get("__name__", "?"), trace.tb_lineno
        trace = trace.tb_next
    kind = type(error).__name__
    log.error("association %s: %s in %s, line %d", association, kind, module, line)

def doctor() -> None:
    """Being written."""

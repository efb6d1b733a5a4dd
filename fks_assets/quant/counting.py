"""Numbers of things in words."""


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 trade`, `1,204 trades`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"

"""Read candle files of other makers: formats detected, oddities counted and resolved by stated rules, nothing guessed."""

"""The requests that run or wait, when an operator asks: nothing here costs a request anything."""

"""The requests that run or wait: the translators' calls, and what is asked through them."""

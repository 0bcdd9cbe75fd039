"""What residents read, one file per locale: the same keys and placeholders in each. Tables only; `agent.disclosure.wording` applies them."""

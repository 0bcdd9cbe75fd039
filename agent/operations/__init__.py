"""For the city's side: subscribe and verify."""

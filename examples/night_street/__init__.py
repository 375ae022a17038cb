"""Example: a night street that the project draws itself, in linear light."""

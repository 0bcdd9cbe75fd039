"""The serial side of the unit: frames from a sensor board, checked and pushed unopened to the anonymizer's inbox."""

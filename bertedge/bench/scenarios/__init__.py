"""What is measured, in order: cold starts, rounds of turns, open load, profiles of graphs."""

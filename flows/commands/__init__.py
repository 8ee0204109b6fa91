"""Commands of `roundhouse`, a module each; `flows.cli` registers them."""

"""Whether a release may leave: static checks, serving, and a comparison with its base."""

"""Repair: keep the layers that harm a refused release most as the base has them."""
